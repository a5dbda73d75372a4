"""What ended trials add up to: the best or the front, failures, cost, savings by pruning.

A book takes in each ended trial once, so that what an experiment shows costs no more the older it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kubetuna.experiment.model import Experiment
from kubetuna.trials.outcome import Outcome
from kubetuna.trials.records import TrialRecord

FAILURE_LIMIT = 10
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


class ResultsBook:
    """Adds up ended trials of one experiment as they come."""

    def __init__(self, spec: Experiment) -> None:
        self._spec = spec
        self._front: list[TrialRecord] = []
        self._retested: list[TrialRecord] = []
        self._failures: deque[TrialRecord] = deque(maxlen=FAILURE_LIMIT)
        self._unavailable = self._steps = 0
        self._complete: list[int | float] = [0, 0, 0.0]
        self._pruned: list[tuple[int, float]] = []
        self._ended_at: float | None = None

    def add(self, record: TrialRecord) -> None:
        """Take in a trial of ours that has ended."""
        self._steps += len(record.steps)
        self._unavailable += record.outcome == Outcome.METRICS_UNAVAILABLE
        if record.state == "FAIL" or record.outcome == Outcome.OUT_OF_MEMORY:
            self._failures.append(record)
        if record.ended is not None:
            self._ended_at = max(self._ended_at or record.ended, record.ended)
        if record.outcome == Outcome.PRUNED:
            self._pruned.append((len(record.steps), _seconds(record)))
        if record.state == "COMPLETE" and record.steps:
            count, steps, seconds = self._complete
            self._complete = [count + 1, steps + len(record.steps), seconds + _seconds(record)]
        if eligible(record) and record.retest_of is not None:
            self._retested = _joined(self._spec, self._retested, record)
        elif eligible(record):
            self._front = _joined(self._spec, self._front, record)

    def results(self, open_steps: int = 0) -> Results:
        """The sums now; ``open_steps`` are those that open trials have reported."""
        saved_steps, saved_seconds = self._savings()
        several = self._spec.multi_objective
        return Results(
            best=None if several else min(self._retested or self._front, key=lambda r: r.number, default=None),
            front=tuple(sorted(self._front, key=lambda r: r.number)) if several else (),
            failures=tuple(self._failures),
            metrics_unavailable=self._unavailable,
            steps=self._steps + open_steps,
            saved_steps=saved_steps,
            saved_seconds=saved_seconds,
            ended_at=self._ended_at,
        )

    def _savings(self) -> tuple[float, float]:
        """Steps and seconds that pruned trials would have taken more, by the mean of the complete ones."""
        count, steps, seconds = self._complete
        if not count:
            return 0.0, 0.0
        return (
            sum(max(0.0, steps / count - own) for own, _ in self._pruned),
            sum(max(0.0, seconds / count - own) for _, own in self._pruned),
        )


def results_of(spec: Experiment, records: Sequence[TrialRecord]) -> Results:
    """What the ended trials of an experiment add to its status."""
    own = [r for r in records if r.own]
    return _book(spec, own).results(sum(len(r.steps) for r in own if r.state in OPEN_STATES))


def best_of(spec: Experiment, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The feasible complete trial with the best value; the earliest among equals. A re-test has the last word."""
    retested = [r for r in records if r.retest_of is not None and eligible(r)]
    best = pareto_front(spec, retested or records, objectives=1)
    return min(best, key=lambda r: r.number, default=None)


def pareto_front(
    spec: Experiment, records: Sequence[TrialRecord], objectives: int | None = None
) -> tuple[TrialRecord, ...]:
    """The feasible complete trials that no other one dominates, by number; over the first objectives only."""
    front: list[TrialRecord] = []
    for record in filter(eligible, records):
        front = _joined(spec, front, record, objectives)
    return tuple(sorted(front, key=lambda r: r.number))


def _book(spec: Experiment, own: Sequence[TrialRecord]) -> ResultsBook:
    book = ResultsBook(spec)
    for record in own:
        if record.state not in OPEN_STATES:
            book.add(record)
    return book


def _seconds(record: TrialRecord) -> float:
    return sum(a.ended - a.started for a in record.attempts if a.ended is not None and a.started is not None)


def eligible(record: TrialRecord) -> bool:
    """Whether a trial is complete, has a value, and violates no constraint."""
    return record.state == "COMPLETE" and bool(record.values) and record.feasible


def _joined(
    spec: Experiment, front: list[TrialRecord], record: TrialRecord, objectives: int | None = None
) -> list[TrialRecord]:
    """The front with one more trial, unless another one dominates it. Of one objective equals are not kept."""
    point = _point(spec, record, objectives)
    if any(_dominates(_point(spec, other, objectives), point) for other in front):
        return front
    kept = [other for other in front if not _dominates(point, _point(spec, other, objectives))]
    if len(point) == 1:
        return [min((*kept, record), key=lambda r: r.number)]
    return [*kept, record]


def _point(spec: Experiment, record: TrialRecord, objectives: int | None) -> tuple[float, ...]:
    signs = [1.0 if o.direction == "minimize" else -1.0 for o in spec.objectives[:objectives]]
    return tuple(s * v for s, v in zip(signs, record.values or (), strict=False))


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))
