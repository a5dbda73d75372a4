"""Everything that a decision of the plan may depend on, observed at one moment and frozen.

Trials that ended are only counted, so a snapshot does not grow with an experiment's age. Times are
seconds since the epoch, UTC; ``resource`` figures are in units times seconds, the unit being the template's
accelerators (GPUs), or a slot where it asks for none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kubetuna.experiment.model import Experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey
from kubetuna.trials.choice import Outlook
from kubetuna.trials.outcome import Outcome, Pruning, Reading, StopReason, has_started
from kubetuna.trials.requests import Answer


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt of an open trial: its durable record, and what its place says now.

    ``launched`` tells whether the place was seen or told to start it in this process's life; ``stop`` is the
    durable intent to end it; ``stop_sent`` when this process last asked the place for it; ``outcome`` is
    durable and set on earlier attempts only; ``drained`` once its log was read to the end; ``repeat`` is the
    index of the run. ``absent``: of one that has no facts nothing is there that may yet start. ``queued`` is since
    when it was in a queue, ``admitted`` when it was seen to be out of it.
    """

    number: int
    created: float
    facts: AttemptFacts | None = None
    stop: StopReason | None = None
    stop_sent: float | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    drained: bool = False
    repeat: int = 0
    absent: bool = True
    queued: float | None = None
    admitted: float | None = None


@dataclass(frozen=True, slots=True)
class TrialView:
    """An open trial. ``unreported`` counts points that were read and not yet told to the study.

    ``repeats`` is how often it runs; ``retest`` marks one that runs the parameters of a finished trial again,
    ``halted`` one that a person wants to end.
    """

    number: int
    attempts: tuple[AttemptView, ...]
    reading: Reading
    verdict: Pruning = "go"
    unreported: int = 0
    repeats: int = 1
    retest: bool = False
    halted: bool = False

    @property
    def latest(self) -> AttemptView | None:
        """The newest attempt, the only one whose lines still count."""
        return self.attempts[-1] if self.attempts else None

    @property
    def ended(self) -> bool:
        """Whether its latest attempt has ended."""
        return self.latest is not None and self.latest.facts is not None and self.latest.facts.phase == "ended"

    @property
    def awaits_admission(self) -> bool:
        """Whether its queue holds it, or its place has not taken it yet."""
        facts = self.latest.facts if self.latest is not None else None
        if facts is None or facts.phase != "pending":
            return facts is None
        return facts.queued or (facts.uid is None and bool(facts.waiting))

    @property
    def finished(self) -> bool:
        """Whether its last run ended by itself: then it is too late for a verdict to spare anything."""
        latest = self.latest
        if latest is None or latest.facts is None or latest.facts.exit is None:
            return False
        return latest.facts.exit.by_itself and latest.repeat + 1 >= self.repeats


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the experiment's own trials, and what the ending rules need of the ended ones.

    ``since_improvement`` is the number of ended trials after the one that gave the best value;
    ``identical_failures`` the length of the latest run of failures with one and the same message, counted
    only while no trial has ever completed. ``infeasible`` are the complete ones that violate a constraint;
    ``retested`` counts ended re-tests, which the others leave out.
    ``started``: some attempt that has ended had started, so the template can.
    """

    numbered: int = 0
    complete: int = 0
    infeasible: int = 0
    pruned: int = 0
    failed: int = 0
    stopped: int = 0
    start_errors: int = 0
    goal_reached: bool = False
    since_improvement: int = 0
    identical_failures: int = 0
    last_failure: str = ""
    retested: int = 0
    started: bool = False

    @property
    def ended(self) -> int:
        """Trials that were told, whatever their outcome."""
        return self.complete + self.pruned + self.failed + self.stopped


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole observed state of one experiment.

    ``requests`` are what people ask of trials and have no answer for yet, as pairs of an ID and a line; ``answers``
    the latest that were given; ``queued`` points wait to be tried before the search proposes any. ``noisy``: the
    best are to be run again for their noise; ``outlook``: what further trials may gain. Both are None where that is
    not known yet, or nobody asked.
    """

    spec: Experiment
    trials: tuple[TrialView, ...] = ()
    tally: Tally = Tally()
    strays: tuple[AttemptKey, ...] = ()
    resource_seconds: float = 0.0
    resource_units: float = 1.0
    started: float = 0.0
    capacity: int | None = None
    exhausted: bool = False
    deleted: bool = False
    unsearchable: str = ""
    retests_due: tuple[int, ...] = ()
    noisy: bool | None = None
    outlook: Outlook | None = None
    blocked: tuple[str, ...] = field(default=())
    requests: tuple[tuple[str, str], ...] = ()
    answers: tuple[Answer, ...] = ()
    queued: int = 0

    @property
    def startable(self) -> bool:
        """Whether any attempt ever started: then what keeps another one from it is not the template."""
        return self.tally.started or any(
            has_started(a.facts.started, a.facts.exit.reason if a.facts.exit else None)
            for t in self.trials
            for a in t.attempts
            if a.facts is not None
        )

    def spent(self, now: float) -> float:
        """Resource-seconds over all attempts so far, the running ones counted up to now."""
        return self.resource_seconds + sum(
            self.resource_units * max(0.0, (facts.ended or now) - started) for facts, started in self._counted()
        )

    def spending(self) -> float:
        """Resource-seconds that are spent in a second, as long as no attempt starts or ends."""
        return self.resource_units * sum(facts.ended is None for facts, _ in self._counted())

    def _counted(self) -> Iterator[tuple[AttemptFacts, float]]:
        """The attempts whose outcome is not durable yet and that have started, each with the time of that."""
        for trial in self.trials:
            for attempt in trial.attempts:
                if attempt.outcome is None and attempt.facts is not None and attempt.facts.started is not None:
                    yield attempt.facts, attempt.facts.started

    def queue_seconds(self, now: float) -> float:
        """How long the attempts whose outcome is not durable yet were in a queue."""
        return sum(
            max(0.0, (now if a.admitted is None else a.admitted) - a.queued)
            for t in self.trials
            for a in t.attempts
            if a.outcome is None and a.queued is not None
        )
