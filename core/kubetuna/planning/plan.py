"""The heart: ``plan(snapshot, now) -> actions``, pure and the same for every runner.

Each call names only what may be done next, given what is durable: a trial is launched once its parameters
are stored, told once its log is read to the end, forgotten once its outcome is stored. An executor makes the
intents durable in one flush, then carries out their effects, then observes again; every action is safe to
repeat, so a crash anywhere leaves nothing but a shorter list for the next call. What ends an experiment is
decided in ``kubetuna.planning.stopping``, what an ended attempt means in ``kubetuna.trials.outcome``.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from kubetuna.experiment.units import SECONDS_PER_HOUR
from kubetuna.planning.stopping import StopDecision, stop_decision, trials_allowed
from kubetuna.trials.attempts import AttemptKey, ExitFacts
from kubetuna.trials.outcome import (
    DISPLACED_REASONS,
    RULES,
    RUNNER_REASONS,
    STOPPED_AT_END,
    STOPPED_BY_HAND,
    Classified,
    Outcome,
    Retry,
    StopReason,
    classify,
)
from kubetuna.trials.snapshot import AttemptView, Snapshot, TrialView

# Failures that the infrastructure caused are retried for free, but a trial that meets ten of them is told; whom
# others displace is not.
FREE_RETRIES = 10

# Before anything has started, a start that fails at once is tried that many times more; then it is the template.
START_RETRIES = 2

# From the second free retry on a trial waits before its next attempt, twice as long each time: a node that refuses
# Pods would else use up all of them within seconds.
FREE_WAIT_SECONDS, FREE_WAIT_LIMIT = 2.0, 60.0

# A stop that is not seen to be done is sent again after this many seconds: longer than a Pod's change takes to be
# seen, short against what a lost stop costs.
RESEND_SECONDS = 5.0

# While nothing is due the world is looked at again after this many seconds.
IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Ask:
    """Number a new trial and store its parameters: the experiment's own ``ordinal``-th, from 0."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class CarryOut:
    """Do what a person asks of a trial, and keep what became of it."""

    request: str
    line: str


@dataclass(frozen=True, slots=True)
class Retest:
    """Number a new trial that runs the parameters of a finished one again."""

    of: int


@dataclass(frozen=True, slots=True)
class LaunchAttempt:
    """Record the attempt (and what became of the one before it), then start it."""

    key: AttemptKey
    after: Classified | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Give the trial's points that were read, in order, to the pruner; its verdict becomes durable.

    Of a trial that is ``finished`` all points count, and no verdict is drawn from them.
    """

    trial: int
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Record the intent, then ask the attempt to end; again until it is seen to end."""

    key: AttemptKey
    why: StopReason


@dataclass(frozen=True, slots=True)
class Tell:
    """Store the trial's outcome and tell the sampler."""

    trial: int
    classified: Classified


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget an attempt whose outcome is durable."""

    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Publish:
    """Show the state to whoever looks."""

    decision: StopDecision | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more to do before ``until``, unless something changes."""

    until: float


Action = CarryOut | Ask | Retest | LaunchAttempt | Report | Stop | Tell | Delete | Publish | Wait


def plan(snapshot: Snapshot, now: float) -> tuple[Action, ...]:
    """All actions that may be taken now, and last when to look again."""
    end = stop_decision(snapshot, now)
    # What people ask comes first, and alone: all the rest may follow from it.
    chosen = _carry_out(snapshot) or _go_on(snapshot, end, now)
    return (*chosen, Publish(end), Wait(_next_deadline(snapshot, now)))


def finished(snapshot: Snapshot, now: float) -> StopDecision | None:
    """The stop decision, once nothing is open any more; None while anything is left to do."""
    left = snapshot.trials or snapshot.strays or _carry_out(snapshot)
    end = None if left else stop_decision(snapshot, now)
    return None if end is not None and end.retesting else end


def _carry_out(snapshot: Snapshot) -> list[Action]:
    return [] if snapshot.deleted else [CarryOut(request, line) for request, line in snapshot.requests]


def _go_on(snapshot: Snapshot, end: StopDecision | None, now: float) -> list[Action]:
    actions: list[Action] = [Delete(key) for key in snapshot.strays]
    for trial in snapshot.trials:
        actions.extend(_advance(trial, snapshot, end, now))
    starting = {action.key.trial for action in actions if isinstance(action, LaunchAttempt)}
    actions.extend(_asks(snapshot, end, _room(snapshot, starting)))
    return actions


def _advance(trial: TrialView, snapshot: Snapshot, end: StopDecision | None, now: float) -> Iterator[Action]:
    for old in trial.attempts[:-1]:
        if old.facts is not None:
            yield Delete(_key(trial, old))
    attempt = trial.latest
    # What was printed after a verdict waits until the end shows whether it was cut short.
    if trial.unreported and (trial.verdict != "prune" or trial.ended):
        yield Report(trial.number, trial.finished)
    if attempt is None:
        yield from _first_attempt(trial, snapshot, end)
    elif attempt.facts is None:
        yield from _lost_launch(trial, attempt, snapshot, end)
    elif attempt.facts.phase == "ended":
        if attempt.drained and not trial.unreported:
            yield from _ended(trial, attempt, snapshot, end, now)
    else:
        yield from _running(trial, attempt, snapshot, end, now)


def _first_attempt(trial: TrialView, snapshot: Snapshot, end: StopDecision | None) -> Iterator[Action]:
    cut = _cut_short(trial, snapshot, end, "never started: ")
    if cut is not None:
        yield Tell(trial.number, cut)
    elif not snapshot.spec.suspend:
        yield LaunchAttempt(AttemptKey(trial.number, 0))


def _lost_launch(
    trial: TrialView, attempt: AttemptView, snapshot: Snapshot, end: StopDecision | None
) -> Iterator[Action]:
    """Recorded but unknown to the executor: a crash fell between the two, so start that same attempt.

    Where it must not start any more, something may wait at the executor's place that would start it; until that is
    gone the trial is not told, or nobody would look for it again.
    """
    cut = _cut_short(trial, snapshot, end)
    if attempt.stop == "Pruned" or trial.verdict == "prune":
        cut = Classified(Outcome.PRUNED, "pruned")
    elif attempt.stop in ("Stopped", "Deleted"):
        cut = cut or _at_the_end(snapshot)
    if cut is not None:
        yield Delete(_key(trial, attempt))
        if attempt.absent:
            yield Tell(trial.number, cut)
    elif not snapshot.spec.suspend:
        yield LaunchAttempt(_key(trial, attempt))


def _running(
    trial: TrialView, attempt: AttemptView, snapshot: Snapshot, end: StopDecision | None, now: float
) -> Iterator[Action]:
    why = attempt.stop or _stop_reason(trial, snapshot, end)
    if why is not None and (attempt.stop is None or _stop_is_due(attempt, now)):
        yield Stop(_key(trial, attempt), why)


def _stop_is_due(attempt: AttemptView, now: float) -> bool:
    """Asking is not enough: a stop is done once the executor is seen to carry it out."""
    if attempt.facts is not None and attempt.facts.stopping:
        return False
    return attempt.stop_sent is None or now >= attempt.stop_sent + RESEND_SECONDS


def _stop_reason(trial: TrialView, snapshot: Snapshot, end: StopDecision | None) -> StopReason | None:
    if trial.verdict == "prune":
        return "Pruned"
    if trial.reading.protocol:
        # Whatever it goes on to print cannot be compared.
        return "OtherProtocol"
    if end is not None and end.stops(trial):
        return "Deleted" if snapshot.deleted else "Stopped"
    if trial.halted:
        return "ByHand"
    if snapshot.spec.suspend and snapshot.spec.suspend_policy == "stop":
        return "Suspended"
    return None


def _ended(
    trial: TrialView, attempt: AttemptView, snapshot: Snapshot, end: StopDecision | None, now: float
) -> Iterator[Action]:
    assert attempt.facts is not None
    facts = attempt.facts.exit or ExitFacts()
    result = classify(facts, attempt.stop, trial.verdict, trial.reading)
    if result.outcome is Outcome.START_ERROR and (snapshot.startable or _may_start_yet(trial, facts)):
        # Its image, its node or its parameters, but not the template: others have started, or may have.
        result = Classified(Outcome.INFRASTRUCTURE, result.message)
    retry = RULES[result.outcome].retry
    cut = _cut_short(trial, snapshot, end)
    if result.outcome is Outcome.SUCCEEDED and attempt.repeat + 1 < trial.repeats:
        if trial.verdict == "prune":
            yield Tell(trial.number, Classified(Outcome.PRUNED, "pruned"))
        elif cut is not None:
            yield Tell(trial.number, cut)
        elif not snapshot.spec.suspend:
            yield LaunchAttempt(_next_key(trial, attempt, attempt.repeat + 1), after=result)
    elif retry == "never" or not _may_retry(trial, retry, facts, snapshot):
        yield Tell(trial.number, result)
    elif cut is not None:
        yield Tell(trial.number, cut if retry == "free" else result)
    elif not snapshot.spec.suspend and now >= _retry_at(trial, retry, facts, attempt.facts.ended):
        yield LaunchAttempt(_next_key(trial, attempt, attempt.repeat), after=result)


def _key(trial: TrialView, attempt: AttemptView) -> AttemptKey:
    return AttemptKey(trial.number, attempt.number, attempt.repeat)


def _next_key(trial: TrialView, attempt: AttemptView, repeat: int) -> AttemptKey:
    return AttemptKey(trial.number, attempt.number + 1, repeat)


def _may_start_yet(trial: TrialView, facts: ExitFacts) -> bool:
    """Whether a start that failed at once shows too little: a node that restarts ends what it is starting likewise.

    One without an exit code was waited for as long as ``startTimeout`` says.
    """
    before = sum(1 for a in trial.attempts[:-1] if a.reason == "StartError")
    return facts.exit_code is not None and before < START_RETRIES


def _retry_at(trial: TrialView, retry: Retry, facts: ExitFacts, ended: float | None) -> float:
    """The first moment for another attempt. An end without a time must not be waited after for ever."""
    earlier = _count(trial, "free", RUNNER_REASONS)
    if ended is None or retry != "free" or facts.reason in RUNNER_REASONS or not earlier:
        return ended or 0.0
    # The exponent is bounded too: others may displace a trial thousands of times.
    return ended + min(FREE_WAIT_LIMIT, FREE_WAIT_SECONDS ** min(earlier, 10))


def _cut_short(
    trial: TrialView, snapshot: Snapshot, end: StopDecision | None, before: str = ""
) -> Classified | None:
    """The end of a trial that is not to go on, with its experiment or by hand; None of one that is."""
    if end is not None and end.stops(trial):
        return _at_the_end(snapshot, before)
    return Classified(Outcome.STOPPED, f"{before}{STOPPED_BY_HAND}") if trial.halted else None


def _at_the_end(snapshot: Snapshot, before: str = "") -> Classified:
    """The end of a trial whose experiment is over: by a rule of its own, or since someone deleted it."""
    if snapshot.deleted:
        return Classified(Outcome.DELETED, f"{before}the Experiment was deleted")
    return Classified(Outcome.STOPPED, f"{before}the experiment ended" if before else STOPPED_AT_END)


def _may_retry(trial: TrialView, retry: Retry, facts: ExitFacts, snapshot: Snapshot) -> bool:
    if retry == "own":
        return _count(trial, "own") < snapshot.spec.retry_limit
    unbounded = RUNNER_REASONS | DISPLACED_REASONS
    return facts.reason in unbounded or _count(trial, "free", unbounded) < FREE_RETRIES


def _count(trial: TrialView, retry: Retry, but: Container[str | None] = ()) -> int:
    """Earlier attempts of the present repeat that ended so, those aside that ended for one of these reasons."""
    return sum(
        1
        for a in trial.attempts[:-1]
        if trial.latest is not None
        and a.repeat == trial.latest.repeat
        and a.outcome is not None
        and a.outcome is not Outcome.SUSPENDED
        and RULES[a.outcome].retry == retry
        and a.reason not in but
    )


def _room(snapshot: Snapshot, starting: Container[int]) -> int:
    """How many more trials may be open.

    Between its min and its max an experiment has one trial that waits to be admitted: once it is, there may be room
    for another. A place that tells its capacity has no queue.
    """
    spec, count, capacity = snapshot.spec, len(snapshot.trials), snapshot.capacity
    if capacity is not None:
        return min(spec.parallel, capacity) - count
    least = spec.parallel if spec.parallel_min is None else spec.parallel_min
    waiting = sum(trial.awaits_admission or trial.number in starting for trial in snapshot.trials)
    return min(spec.parallel - count, max(least - count, 1 - waiting))


def _asks(snapshot: Snapshot, end: StopDecision | None, room: int) -> Iterator[Action]:
    spec = snapshot.spec
    if spec.suspend or snapshot.blocked:
        return
    if end is not None:
        # Not before the last trial of the search is told: it may be the best.
        if end.retesting and all(t.retest for t in snapshot.trials):
            yield from (Retest(of) for of in snapshot.retests_due[: max(0, room)])
        return
    if (allowed := trials_allowed(snapshot)) is not None:
        room = min(room, allowed - snapshot.tally.numbered)
    yield from (Ask(snapshot.tally.numbered + i) for i in range(max(0, room)))


def _next_deadline(snapshot: Snapshot, now: float) -> float:
    """When a budget will be spent, if that is soon. One that is spent was acted on: no reason to look again."""
    return min(due for due in _deadlines(snapshot, now) if due > now)


def _deadlines(snapshot: Snapshot, now: float) -> Iterator[float]:
    yield now + IDLE_SECONDS
    budget = snapshot.spec.budget
    if budget.wall_clock is not None and snapshot.started:
        yield snapshot.started + budget.wall_clock
    if budget.gpu_hours is not None and (rate := snapshot.spending()):
        yield now + (budget.gpu_hours * SECONDS_PER_HOUR - snapshot.spent(now)) / rate
