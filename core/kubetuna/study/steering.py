"""What becomes of what people ask of trials: each request is answered once, in one transaction with what it does.

A stop is a mark on the open trial, which the plan heeds. A retry and an added point wait in a queue that the next
trials are taken from before the search proposes any. A trial that is run again by hand no longer counts, neither
as made nor as failed: the new one stands in its place. The queue and the answers are attributes of the study, so
whoever takes it over goes on where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from kubetuna.errors import RequestRefused, SearchExhausted, SpecError
from kubetuna.experiment.model import Experiment, Value
from kubetuna.parsing.warm_start import given_point, named_point
from kubetuna.search.space import exists, identity, ordered
from kubetuna.trials.outcome import RULES, Outcome
from kubetuna.trials.progress import OPEN_STATES
from kubetuna.trials.records import ANSWERS, QUEUE, TrialRecord, bounded, outcome_of
from kubetuna.trials.requests import SHOWN_LIMIT, Answer, TrialRequest, parse_request

# Answers to show. Those whose request still stands where it was written are kept beyond that.
ANSWERS_KEPT = 20
# Points that may wait: each is as many trials' work.
QUEUE_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class QueuedPoint:
    """A point to be tried before the search proposes any; of a retry, in the place of trial ``retry_of``."""

    request: str
    point: Mapping[str, Value]
    retry_of: int | None = None


@dataclass(frozen=True, slots=True)
class KnownTrials:
    """What a decision looks at. ``points``: the latest trial at each; ``halted``: those that are ending by hand."""

    spec: Experiment
    count: int
    record: Callable[[int], TrialRecord]
    points: Mapping[str, int]
    queue: Sequence[QueuedPoint] = ()
    halted: frozenset[int] = frozenset()

    def at(self, point: Mapping[str, Value]) -> TrialRecord | None:
        """The latest trial at a point."""
        number = self.points.get(identity(self.spec.parameters, point))
        return None if number is None else self.record(number)

    def waits(self, point: Mapping[str, Value]) -> QueuedPoint | None:
        """A point as it stands in the queue, if it does."""
        wanted = identity(self.spec.parameters, point)
        return next((one for one in self.queue if identity(self.spec.parameters, one.point) == wanted), None)


def known_trials(spec: Experiment, records: Sequence[TrialRecord]) -> KnownTrials:
    """Those of a study that is only looked at."""
    own = (r for r in records if r.own and r.retest_of is None)
    points = {identity(spec.parameters, r.params): r.number for r in own}
    return KnownTrials(spec, len(records), lambda number: records[number], points)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done about a request, if anything: a trial to stop, a point to queue or one to take from there."""

    message: str
    stop: int | None = None
    point: Mapping[str, Value] | None = None
    retry_of: int | None = None
    withdrawn: QueuedPoint | None = None


def decide(request: TrialRequest, known: KnownTrials) -> Decision:
    """What is to be done.

    Raises:
        RequestRefused: it cannot be done.
        SpecError: a point is outside the space.
    """
    if request.verb == "add":
        return _add(request, known)
    if request.verb == "withdraw":
        return _withdraw(request, known)
    trial = _own_trial(request.number, known)
    return _stop(trial, known) if request.verb == "stop" else _retry(trial, known)


def _own_trial(number: int, known: KnownTrials) -> TrialRecord:
    if number >= known.count:
        trials = f"0 to {known.count - 1}" if known.count else "none yet"
        raise RequestRefused(f"trial {number} does not exist; trials: {trials}")
    trial = known.record(number)
    if not trial.own:
        raise RequestRefused(f"trial {number} was made by another program, which alone can end it or run it again")
    return trial


def _stop(trial: TrialRecord, known: KnownTrials) -> Decision:
    if trial.outcome == Outcome.STOPPED:
        return Decision(f"trial {trial.number} has been stopped already")
    if trial.state not in OPEN_STATES:
        raise RequestRefused(f"trial {trial.number} has ended already: {trial.outcome}; there is nothing to stop")
    if trial.number in known.halted:
        return Decision(f"trial {trial.number} is being stopped already")
    return Decision(f"trial {trial.number} is being stopped", stop=trial.number)


def _retry(trial: TrialRecord, known: KnownTrials) -> Decision:
    _refuse_retry(trial)
    if known.waits(trial.params):
        raise RequestRefused(f"trial {trial.number} waits to be run again already")
    latest = known.at(trial.params)
    if latest is not None and latest.number != trial.number:
        raise RequestRefused(f"trial {trial.number} was run again as trial {latest.number}; {_fate(latest)}")
    point = given_point(known.spec, trial.params)
    return Decision(
        f"trial {trial.number} is run again, as a new trial in its place", point=point, retry_of=trial.number
    )


def _refuse_retry(trial: TrialRecord) -> None:
    number = trial.number
    if trial.retest_of is not None:
        raise RequestRefused(f"trial {number} is a re-test of trial {trial.retest_of}, and is not run again")
    if trial.state in OPEN_STATES:
        raise RequestRefused(f"trial {number} has not ended; stop it first: stop {number}")
    if not _retriable(trial):
        raise RequestRefused(
            f"trial {number} has a result ({trial.outcome}), and what has one is not run again; failed and stopped "
            "trials are. spec.repeats runs every point several times, spec.retest the best ones"
        )


def _retriable(trial: TrialRecord) -> bool:
    outcome = outcome_of(trial.outcome)
    return outcome is Outcome.STOPPED or (outcome is None and trial.state == "FAIL") or _failed(outcome)


def _failed(outcome: Outcome | None) -> bool:
    return outcome is not None and RULES[outcome].failed


def _fate(trial: TrialRecord) -> str:
    if trial.state in OPEN_STATES:
        return "that one has not ended"
    return f"retry that one: retry {trial.number}" if _retriable(trial) else f"its outcome: {trial.outcome}"


def _add(request: TrialRequest, known: KnownTrials) -> Decision:
    point = named_point(known.spec, request.point)
    if len(known.queue) >= QUEUE_LIMIT:
        raise RequestRefused(f"{QUEUE_LIMIT:,} points wait already; add more once some of them were tried")
    if is_whole(known.spec, point):
        _refuse_tried(point, known)
    ahead = len(known.queue)
    behind = f" after {ahead} other{'s' * (ahead > 1)} that wait{'s' * (ahead == 1)}" if ahead else ""
    return Decision(f"the point is tried next{behind}", point=point)


def _withdraw(request: TrialRequest, known: KnownTrials) -> Decision:
    point = named_point(known.spec, request.point)
    queued = known.waits(point)
    if queued is None:
        waiting = f"{len(known.queue)} others do" if known.queue else "none does"
        raise RequestRefused(f"this point does not wait to be tried; {waiting}")
    return Decision("the point is not tried", withdrawn=queued)


def _refuse_tried(point: Mapping[str, Value], known: KnownTrials) -> None:
    if known.waits(point):
        raise RequestRefused("this point waits to be tried already")
    trial = known.at(point)
    if trial is None:
        return
    advice = (
        f"run it again with: retry {trial.number}"
        if _retriable(trial)
        else "no point is tried twice; spec.repeats runs every point several times"
    )
    raise RequestRefused(
        f"trial {trial.number} ({trial.outcome or trial.state}) is at this point already; {advice}"
    )


def is_whole(spec: Experiment, point: Mapping[str, Value]) -> bool:
    """Whether a point names every parameter that exists at it."""
    # In an order in which those that a condition names come first, so that they are known where it is asked.
    return all(parameter.name in point or not exists(parameter, point) for parameter in ordered(spec))


def still_given(spec: Experiment, point: Mapping[str, Value]) -> dict[str, Value]:
    """A point that waited, in the space as it is now.

    Raises:
        SearchExhausted: it lies outside by now.
    """
    try:
        return given_point(spec, point)
    except SpecError as error:
        raise SearchExhausted(f"the search space was edited meanwhile: {error}") from error


class Steering:
    """The requests, answers and queue of one study. ``keep`` stores an attribute, ``withdraw`` takes one out."""

    def __init__(
        self,
        attrs: Mapping[str, Any],
        keep: Callable[[str, Any], None] = lambda _key, _value: None,
        withdraw: Callable[[str], None] = lambda _request: None,
    ) -> None:
        self._keep, self._withdraw = keep, withdraw
        self.queue = tuple(_queued(one) for one in _listed(attrs.get(QUEUE)))
        self._answers = {a.id: a for a in (_answer(one) for one in _listed(attrs.get(ANSWERS)))}

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The latest ones, in the order in which they were given."""
        return tuple(self._answers.values())

    @property
    def retries(self) -> frozenset[int]:
        """The trials that wait to be run again."""
        return frozenset(queued.retry_of for queued in self.queue if queued.retry_of is not None)

    def answered(self, request: str, line: str) -> bool:
        """Whether what is written under this ID has its answer."""
        answer = self._answers.get(request)
        return answer is not None and answer.written and answer.request == _kept(line)

    def see(self, written: Mapping[str, str]) -> None:
        """Learn which requests are still written somewhere: the ID of one that is not may come again."""
        left = {i: a.written and i in written and self.answered(i, written[i]) for i, a in self._answers.items()}
        seen = {i: replace(a, written=left[i]) for i, a in self._answers.items()}
        if seen != self._answers:
            self._store(seen)

    def answer(self, request: str, line: str, now: float, known: KnownTrials) -> tuple[Answer, Decision | None]:
        """Decide about a request, queue what it asks for, keep the answer. A trial is for others to stop."""
        decision, message = _decided(line, known)
        answer = Answer(request, _kept(line), decision is not None, message, now)
        self._store({**{i: a for i, a in self._answers.items() if i != request}, request: answer})
        self._withdraw(request)
        if decision is not None and decision.point is not None:
            # Those to be run again first: a place is free for each of them.
            queue = (*self.queue, QueuedPoint(request, decision.point, decision.retry_of))
            self._queue(tuple(sorted(queue, key=lambda queued: queued.retry_of is None)))
        if decision is not None and decision.withdrawn is not None:
            self._queue(tuple(queued for queued in self.queue if queued is not decision.withdrawn))
        return answer, decision

    def take(self) -> QueuedPoint | None:
        """The first point that waits, which then waits no more."""
        if not self.queue:
            return None
        first, *rest = self.queue
        self._queue(tuple(rest))
        return first

    def refuse_late(self, queued: QueuedPoint, why: str) -> None:
        """Say that a point could not be tried after all."""
        answer = self._answers.get(queued.request)
        if answer is not None:
            self._store({**self._answers, queued.request: replace(answer, accepted=False, message=why)})

    def _queue(self, queue: tuple[QueuedPoint, ...]) -> None:
        self.queue = queue
        self._keep(QUEUE, [asdict(queued) for queued in queue])

    def _store(self, answers: Mapping[str, Answer]) -> None:
        closed = [i for i, a in answers.items() if not a.written]
        old = frozenset(closed[: max(0, len(closed) - ANSWERS_KEPT)])
        self._answers = {i: a for i, a in answers.items() if i not in old}
        self._keep(ANSWERS, [asdict(answer) for answer in self._answers.values()])


def _kept(line: str) -> str:
    return bounded(line, SHOWN_LIMIT)


def _decided(line: str, known: KnownTrials) -> tuple[Decision | None, str]:
    try:
        decision = decide(parse_request(line), known)
    except (RequestRefused, SpecError) as error:
        return None, str(error)
    return decision, decision.message


def _listed(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _queued(kept: Mapping[str, Any]) -> QueuedPoint:
    return QueuedPoint(str(kept["request"]), dict(kept["point"]), kept.get("retry_of"))


def _answer(kept: Mapping[str, Any]) -> Answer:
    return Answer(
        str(kept["id"]),
        str(kept["request"]),
        bool(kept["accepted"]),
        str(kept["message"]),
        float(kept["time"]),
        bool(kept.get("written", False)),
    )
