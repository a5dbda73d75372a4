"""The one table from how an attempt ended to what that means.

An outcome decides three things: the state in which the sampler hears of the trial, whether the trial
counts as failed, and whether a new attempt may be made. No value is invented here: a crash is no bad value,
and a missing metric is no zero. The local runner and the operator reduce what they see to the same facts
(``kubetuna.trials.attempts.ExitFacts``), so the table is pure and stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from kubetuna.trials.attempts import LINE_LIMIT, ExitFacts

TrialState = Literal["COMPLETE", "PRUNED", "FAIL"]
Retry = Literal["never", "own", "free"]
# What a pruner says, and why we end an attempt: both are kept in the study.
Pruning = Literal["go", "prune"]
StopReason = Literal["Pruned", "OtherProtocol", "Stopped", "ByHand", "Suspended", "Deleted"]

STOPPED_AT_END = "stopped at the experiment's end"
STOPPED_BY_HAND = "stopped by hand"

SIGKILL_EXIT = 137


class Outcome(StrEnum):
    """What an ended attempt means."""

    SUCCEEDED = "Succeeded"
    PRUNED = "Pruned"
    STOPPED = "Stopped"
    SUSPENDED = "Suspended"
    OUT_OF_MEMORY = "OutOfMemory"
    CRASHED = "Crashed"
    KILLED = "Killed"
    TIMED_OUT = "TimedOut"
    METRICS_UNAVAILABLE = "MetricsUnavailable"
    NON_FINITE = "NonFinite"
    OTHER_PROTOCOL = "OtherProtocol"
    START_ERROR = "StartError"
    INFRASTRUCTURE = "Infrastructure"
    DELETED = "Deleted"


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from an outcome: the state told, whether it counts as failed, who pays for a retry."""

    state: TrialState
    failed: bool
    retry: Retry


RULES: Mapping[Outcome, Rule] = MappingProxyType(
    {
        Outcome.SUCCEEDED: Rule("COMPLETE", False, "never"),
        Outcome.PRUNED: Rule("PRUNED", False, "never"),
        Outcome.STOPPED: Rule("PRUNED", False, "never"),
        Outcome.SUSPENDED: Rule("FAIL", False, "free"),
        # The sampler learns nothing from FAIL but keeps away from PRUNED points, so memory is told as PRUNED.
        Outcome.OUT_OF_MEMORY: Rule("PRUNED", True, "never"),
        Outcome.CRASHED: Rule("FAIL", True, "own"),
        Outcome.KILLED: Rule("FAIL", True, "own"),
        Outcome.TIMED_OUT: Rule("FAIL", True, "own"),
        Outcome.METRICS_UNAVAILABLE: Rule("FAIL", True, "own"),
        Outcome.NON_FINITE: Rule("FAIL", True, "own"),
        Outcome.OTHER_PROTOCOL: Rule("FAIL", True, "never"),
        Outcome.START_ERROR: Rule("FAIL", True, "never"),
        Outcome.INFRASTRUCTURE: Rule("FAIL", True, "free"),
        Outcome.DELETED: Rule("FAIL", True, "free"),
    }
)

INFRASTRUCTURE_REASONS = frozenset(
    {
        "RunnerDied",
        "Interrupted",
        "Preempted",
        "PreemptionByScheduler",
        "DeletionByTaintManager",
        "EvictionByEvictionAPI",
        "DeletionByPodGC",
        "TerminationByKubelet",
        "Evicted",
        "StoppedByQueue",
        "NodeLost",
        "NodeShutdown",
        "UnexpectedAdmissionError",
        "NodeAffinity",
        "OutOfGpu",
    }
)

# A dead runner is nobody's fault and no sign of a sick cluster, so it is not counted against the bound.
RUNNER_REASONS = frozenset({"RunnerDied", "Interrupted"})

# A scheduler, a queue or a drained node wanted the place: that is how a shared cluster works, however often.
DISPLACED_REASONS = frozenset({"Preempted", "PreemptionByScheduler", "EvictionByEvictionAPI", "StoppedByQueue"})


def has_started(started: float | None, reason: str | None) -> bool:
    """Whether an attempt's command has run, however it ended."""
    return started is not None and reason != "StartError"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the log of all attempts says: the objectives' values, and what is wrong with them.

    ``missing`` and ``invalid`` hold objective metrics without any value, or whose value is not finite. ``protocol``
    is the trial's protocol of evaluation where it is not the study's, whose values cannot be compared. ``cut``
    counts the lines that were too long to be read whole. ``lost``: what was printed last could not be read, so a
    value may be an old one. ``hint`` says which lines look nearest to what is missing. ``source`` is what is read,
    where it is not the log.
    """

    values: Mapping[str, float]
    missing: tuple[str, ...] = ()
    invalid: Mapping[str, str] = field(default_factory=dict)
    announced: Literal["OutOfMemory"] | None = None
    protocol: str = ""
    lost: bool = False
    cut: int = 0
    hint: str = ""
    source: str = ""

    @property
    def whole(self) -> bool:
        """Whether every objective has a finite value, its last one, and the trainer announced no failure."""
        return not self.missing and not self.invalid and self.announced is None and not self.lost


@dataclass(frozen=True, slots=True)
class Classified:
    """An outcome with the one line that a person reads about it."""

    outcome: Outcome
    message: str


def classify(exit_facts: ExitFacts, stop: StopReason | None, verdict: Pruning, reading: Reading) -> Classified:
    """Decide what an ended attempt means. ``stop`` is our own durable intent to end it, if any.

    An intent and a verdict say what we wanted. What ended by itself, with its objective, before any stop reached
    it has a value that nobody cut short, so it has succeeded.
    """
    if reading.protocol:
        return Classified(
            Outcome.OTHER_PROTOCOL,
            f"judged by protocol {reading.protocol}, which is not the study's: its data, split or costs differ, so "
            "its values cannot be compared; start another study for it",
        )
    if exit_facts.by_itself and reading.whole:
        return Classified(Outcome.SUCCEEDED, _cut_lines(reading))
    if verdict == "prune":
        return Classified(Outcome.PRUNED, "pruned")
    if stop == "Stopped":
        return Classified(Outcome.STOPPED, STOPPED_AT_END)
    if stop == "ByHand":
        return Classified(Outcome.STOPPED, STOPPED_BY_HAND)
    if stop == "Deleted":
        return Classified(Outcome.DELETED, "the Experiment was deleted")
    if stop == "Suspended":
        return Classified(Outcome.SUSPENDED, "stopped while the experiment is suspended")
    if reading.announced == "OutOfMemory":
        return Classified(Outcome.OUT_OF_MEMORY, "the trainer announced that its memory ran out")
    if exit_facts.by_itself and reading.lost:
        return Classified(Outcome.INFRASTRUCTURE, "it ended well, but its log could not be read to the end")
    return _by_reason(exit_facts) or _by_exit(exit_facts, reading)


def _by_reason(facts: ExitFacts) -> Classified | None:
    detail = f": {facts.message}" if facts.message else ""
    if facts.reason in INFRASTRUCTURE_REASONS:
        return Classified(Outcome.INFRASTRUCTURE, f"{facts.reason}{detail}")
    named = {
        "OOMKilled": (Outcome.OUT_OF_MEMORY, "killed by the kernel: out of memory"),
        "DeadlineExceeded": (Outcome.TIMED_OUT, "ran longer than trialTimeout"),
        "StartError": (Outcome.START_ERROR, "could not be started"),
        "LogLimit": (Outcome.CRASHED, "stopped"),
        "WorkloadFailed": (Outcome.CRASHED, "its workload failed"),
        "StorageLimit": (Outcome.CRASHED, "evicted for breaking its own limit on storage"),
        "Deleted": (Outcome.DELETED, "deleted by someone else"),
    }
    if facts.reason in named:
        outcome, text = named[facts.reason]
        return Classified(outcome, f"{text}{detail}")
    return None


def _by_exit(facts: ExitFacts, reading: Reading) -> Classified:
    detail = f": {facts.message}" if facts.message else ""
    if facts.signal == 9 or facts.exit_code == SIGKILL_EXIT:
        return Classified(Outcome.KILLED, f"killed (exit code {SIGKILL_EXIT}){detail}")
    if facts.signal is not None:
        return Classified(Outcome.CRASHED, f"ended by signal {facts.signal}{detail}")
    if facts.exit_code is None:
        return Classified(Outcome.INFRASTRUCTURE, f"its end was not seen{detail}")
    if facts.exit_code != 0:
        return Classified(Outcome.CRASHED, f"exit code {facts.exit_code}{detail}")
    return _by_metrics(reading)


def _by_metrics(reading: Reading) -> Classified:
    cut = f"; {_cut_lines(reading)}" if reading.cut else ""
    for name, text in reading.invalid.items():
        return Classified(Outcome.NON_FINITE, f"metric {name!r} is {text!r}, no finite number{cut}")
    if reading.missing:
        hint = f"; {reading.hint}" if reading.hint else ""
        names = ", ".join(repr(name) for name in reading.missing)
        return Classified(
            Outcome.METRICS_UNAVAILABLE,
            f"exit code 0, but no line of {reading.source or 'the log'} gives {names}{cut}{hint}; "
            f"{'write' if reading.source else 'print'} e.g. "
            f'{{"step": 1, "{reading.missing[0]}": 0.5}}',
        )
    return Classified(Outcome.SUCCEEDED, _cut_lines(reading))


def _cut_lines(reading: Reading) -> str:
    if not reading.cut:
        return ""
    lines = "1 line of the log is" if reading.cut == 1 else f"{reading.cut:,} lines of the log are"
    return f"{lines} longer than {LINE_LIMIT:,} bytes and read from the end only"
