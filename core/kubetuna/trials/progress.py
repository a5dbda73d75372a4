"""What ended trials add up to, each taken in once as it is told, so nothing costs more the older a study is.

One ``Progress`` a study: its ``tally`` is what decisions need, its ``results`` what a status shows, and ``due`` the
trials to re-test. Whoever takes the best of many noisy values takes a lucky one; so each candidate's parameters are
run again as a trial of their own, which the search does not count and no pruner ends. The best by its mean over the
new seeds is the experiment's best, and the value shown for it is that mean, on which the choice among the many had
no hold.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from kubetuna.experiment.model import Experiment, Objective
from kubetuna.trials.choice import Assessment, Outlook
from kubetuna.trials.outcome import DISPLACED_REASONS, RULES, Outcome, has_started
from kubetuna.trials.records import AttemptRecord, TrialRecord, outcome_of
from kubetuna.trials.snapshot import Tally

FAILURE_LIMIT = 10
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d[\d.]*(?:[eE][-+]?\d+)?")
OPEN_STATES = ("RUNNING", "WAITING")


@dataclass(frozen=True, slots=True)
class Results:
    """What ended trials add to a status: the best or the front, failures, cost and savings."""

    best: TrialRecord | None = None
    front: tuple[TrialRecord, ...] = ()
    failures: tuple[TrialRecord, ...] = ()
    metrics_unavailable: int = 0
    steps: int = 0
    saved_steps: float = 0.0
    saved_seconds: float = 0.0
    ended_at: float | None = None
    displaced: int = 0
    lines_cut: int = 0
    queue_seconds: float = 0.0


class Progress:
    """Adds up one experiment's own trials in the order of telling. Of the search's trials a re-test is none.

    Of those that are ``replaced``, since a person had them run again, only what they cost counts.
    """

    def __init__(self, spec: Experiment, replaced: Container[int] = ()) -> None:
        self._spec, self._replaced = spec, replaced
        self._ended: dict[Outcome, int] = {}
        self._front: list[TrialRecord] = []
        self._candidates: list[TrialRecord] = []
        # Of a re-test of its own accord: found by whoever weighs the trials.
        self.assessment = Assessment()
        self.outlook = Outlook(0)
        self._taken: set[int] = set()
        self._retests: list[TrialRecord] = []
        self._retested = self._infeasible = 0
        self._goal = False
        self._since = self._alike = 0
        self._last_failure = ""
        self._failures: deque[TrialRecord] = deque(maxlen=FAILURE_LIMIT)
        self._steps = self._unavailable = 0
        self._complete = _Runs()
        self._pruned: list[_Runs] = []
        self._ended_at: float | None = None
        self._started = False
        self._displaced = self._lines_cut = 0
        # From start to end of every attempt that ended, and before that in a queue.
        self.attempt_seconds = self._queue_seconds = 0.0

    def counts(self, trial: TrialRecord) -> bool:
        """Whether a trial is the experiment's own and stands for itself."""
        return trial.own and trial.number not in self._replaced

    def add(self, record: TrialRecord) -> None:
        """Take in a trial that has ended."""
        outcome = outcome_of(record.outcome) or Outcome.CRASHED
        self._spend(record)
        if record.number in self._replaced:
            return
        self._keep(record, outcome)
        if record.retest_of is None:
            self._count(record, outcome)
        else:
            self._retested += 1
            if eligible(record):
                self._retests = _joined(self._spec.objectives[:1], self._retests, record)

    def add_attempt(self, attempt: AttemptRecord) -> None:
        """Take in the time of an attempt, once that has ended and its outcome is known."""
        self._started |= has_started(attempt.started, attempt.reason)
        self._displaced += bool(attempt.outcome) and attempt.reason in DISPLACED_REASONS
        if attempt.outcome:
            self._queue_seconds += attempt.queue_seconds(attempt.queued or 0.0)
        if attempt.started is not None and attempt.ended is not None and attempt.outcome:
            self.attempt_seconds += max(0.0, attempt.ended - attempt.started)

    def retest(self, number: int) -> None:
        """Note that a trial is re-tested, whatever comes of it."""
        self._taken.add(number)

    def _spend(self, record: TrialRecord) -> None:
        self._steps += len(record.steps)
        self._lines_cut += record.lines_cut
        if record.ended is not None:
            self._ended_at = max(self._ended_at or record.ended, record.ended)

    def _keep(self, record: TrialRecord, outcome: Outcome) -> None:
        self._unavailable += outcome is Outcome.METRICS_UNAVAILABLE
        if record.state == "FAIL" or outcome is Outcome.OUT_OF_MEMORY:
            self._failures.append(record)
        if outcome is Outcome.PRUNED:
            self._pruned.append(_Runs().plus(record))
        if record.state == "COMPLETE" and record.steps:
            self._complete = self._complete.plus(record)

    def _count(self, record: TrialRecord, outcome: Outcome) -> None:
        self._ended[outcome] = self._ended.get(outcome, 0) + 1
        self._since += 1
        if RULES[outcome].failed:
            self._alike = self._alike + 1 if _alike(record.message, self._last_failure) else 1
            self._last_failure = record.message
        if eligible(record):
            self._rank(record, record.values or ())
        elif outcome is Outcome.SUCCEEDED:
            self._infeasible += 1

    def _rank(self, record: TrialRecord, values: tuple[float, ...]) -> None:
        first, several = self._spec.objectives[0], self._spec.multi_objective
        reached = [
            o.reaches(v, o.goal) for o, v in zip(self._spec.objectives, values, strict=False) if o.goal is not None
        ]
        self._goal |= bool(reached) and all(reached)
        self._goal |= not several and first.reaches(values[0], self._spec.stop_when.goal)
        if several or self.best is None or first.better(values[0], _value(self.best)):
            self._since = 0
        self._front = _joined(self._spec.objectives, self._front, record)
        if self._spec.retest is not None:
            ranked = sorted([*self._candidates, record], key=lambda r: (first.sign * _value(r), r.number))
            self._candidates = ranked[: self._spec.retest.top]

    @property
    def best(self) -> TrialRecord | None:
        """The search's best trial, the earliest among equals; None without one, and with several objectives."""
        return self._front[0] if self._front and not self._spec.multi_objective else None

    def due(self) -> tuple[int, ...]:
        """The candidates that are not re-tested yet, the best first."""
        again = self._spec.retest
        auto = again is not None and again.auto
        candidates = self.assessment.nominated if auto else tuple(r.number for r in self._candidates)
        return tuple(number for number in candidates if number not in self._taken)

    def tally(self, numbered: int) -> Tally:
        """The counts now, with how many trials were numbered so far."""
        of = self._ended.get
        complete = of(Outcome.SUCCEEDED, 0)
        return Tally(
            numbered=numbered,
            complete=complete,
            infeasible=self._infeasible,
            pruned=of(Outcome.PRUNED, 0),
            failed=sum(n for outcome, n in self._ended.items() if RULES[outcome].failed),
            stopped=of(Outcome.STOPPED, 0),
            start_errors=of(Outcome.START_ERROR, 0),
            goal_reached=self._goal,
            since_improvement=self._since,
            identical_failures=0 if complete else self._alike,
            last_failure=self._last_failure,
            retested=self._retested,
            started=self._started,
        )

    def results(self, open_steps: int = 0, open_cut: int = 0) -> Results:
        """The sums now; ``open_steps`` are those that open trials have reported, ``open_cut`` their lines cut."""
        mean_steps, mean_seconds = self._complete.means()
        several = self._spec.multi_objective
        return Results(
            best=None if several else self.assessment.elected or next(iter(self._retests or self._front), None),
            front=tuple(sorted(self._front, key=lambda r: r.number)) if several else (),
            failures=tuple(self._failures),
            metrics_unavailable=self._unavailable,
            steps=self._steps + open_steps,
            # What pruned trials would have taken more, by the mean of the complete ones.
            saved_steps=sum(max(0.0, mean_steps - own.steps) for own in self._pruned),
            saved_seconds=sum(max(0.0, mean_seconds - own.seconds) for own in self._pruned),
            ended_at=self._ended_at,
            displaced=self._displaced,
            lines_cut=self._lines_cut + open_cut,
            queue_seconds=self._queue_seconds,
        )


def _alike(one: str, other: str) -> bool:
    """Whether two failures say the same but for numbers: a broken program quotes each trial's own parameters."""
    return _NUMBER.sub("0", one) == _NUMBER.sub("0", other)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Steps and seconds of some trials."""

    count: int = 0
    steps: int = 0
    seconds: float = 0.0

    def plus(self, record: TrialRecord) -> _Runs:
        timed = (a.ended - a.started for a in record.attempts if a.ended is not None and a.started is not None)
        return _Runs(self.count + 1, self.steps + len(record.steps), self.seconds + sum(timed))

    def means(self) -> tuple[float, float]:
        return (self.steps / self.count, self.seconds / self.count) if self.count else (0.0, 0.0)


def progress_of(spec: Experiment, records: Iterable[TrialRecord], replaced: Container[int] = ()) -> Progress:
    """The progress that stored trials make, in the order in which they were told."""
    progress = Progress(spec, replaced)
    for record in sorted((r for r in records if r.own), key=lambda r: (r.ended or 0.0, r.number)):
        if record.retest_of is not None:
            progress.retest(record.retest_of)
        if record.state not in OPEN_STATES:
            progress.add(record)
        for attempt in record.attempts:
            progress.add_attempt(attempt)
    return progress


def open_steps(records: Iterable[TrialRecord]) -> int:
    """Steps that the experiment's open trials have reported."""
    return sum(len(r.steps) for r in records if r.own and r.state in OPEN_STATES)


def open_cut(records: Iterable[TrialRecord]) -> int:
    """Lines of the experiment's open trials of which only the end was read."""
    return sum(r.lines_cut for r in records if r.own and r.state in OPEN_STATES)


def eligible(record: TrialRecord) -> bool:
    """Whether a trial is complete, has a value, and violates no constraint."""
    return record.state == "COMPLETE" and bool(record.values) and record.feasible


def best_of(spec: Experiment, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The feasible complete trial with the best value; the earliest among equals. A re-test has the last word."""
    retested = [r for r in records if r.retest_of is not None and eligible(r)]
    return next(iter(_front(spec.objectives[:1], retested or records)), None)


def pareto_front(spec: Experiment, records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The feasible complete trials that no other one dominates, by number."""
    return tuple(sorted(_front(spec.objectives, records), key=lambda r: r.number))


def _front(objectives: Sequence[Objective], records: Iterable[TrialRecord]) -> list[TrialRecord]:
    front: list[TrialRecord] = []
    for record in filter(eligible, records):
        front = _joined(objectives, front, record)
    return front


def _joined(objectives: Sequence[Objective], front: list[TrialRecord], record: TrialRecord) -> list[TrialRecord]:
    """The front with one more trial, unless another one dominates it. Of one objective equals are not kept."""
    point = _point(objectives, record)
    if any(_dominates(_point(objectives, other), point) for other in front):
        return front
    kept = [other for other in front if not _dominates(point, _point(objectives, other))]
    return [min((*kept, record), key=lambda r: r.number)] if len(objectives) == 1 else [*kept, record]


def _point(objectives: Sequence[Objective], record: TrialRecord) -> tuple[float, ...]:
    return tuple(o.sign * v for o, v in zip(objectives, record.values or (), strict=False))


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def _value(record: TrialRecord) -> float:
    return (record.values or (0.0,))[0]
