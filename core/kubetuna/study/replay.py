"""A snapshot from stored trials alone, for whoever looks at a study without running it."""

from __future__ import annotations

from collections.abc import Container, Sequence

from kubetuna.experiment.model import Experiment
from kubetuna.planning.stopping import StopDecision, stop_decision
from kubetuna.search.samplers import Proposer
from kubetuna.trials.attempts import AttemptFacts, ExitFacts
from kubetuna.trials.outcome import Reading
from kubetuna.trials.progress import Progress
from kubetuna.trials.records import AttemptRecord, TrialRecord, outcome_of
from kubetuna.trials.snapshot import AttemptView, Snapshot, TrialView


def snapshot_of(
    spec: Experiment,
    trials: Sequence[TrialRecord],
    started: float,
    units: float,
    progress: Progress,
    replaced: Container[int] = (),
) -> Snapshot:
    """What a runner would have observed, as far as the store tells."""
    own = [t for t in trials if t.own]
    searched = [t for t in own if t.retest_of is None]
    proposals = sum(1 for t in searched if t.retry_of is None and not t.added)
    return Snapshot(
        spec=spec,
        trials=tuple(_view(spec, t) for t in own if t.state == "RUNNING"),
        tally=progress.tally(sum(1 for t in searched if t.number not in replaced)),
        resource_seconds=progress.attempt_seconds * units,
        resource_units=units,
        started=started,
        exhausted=Proposer(spec, 0).exhausted(proposals),
        retests_due=progress.due(),
    )


def decision_of(snapshot: Snapshot, last_ended: float | None, now: float) -> StopDecision | None:
    """How the experiment ended; one with nothing open is judged by the moment at which its last trial ended.

    Else a clock that went on would find another reason, an exhausted ``wallClock``, for what was over before.
    """
    then = stop_decision(snapshot, last_ended) if last_ended is not None and not snapshot.trials else None
    return then or stop_decision(snapshot, now)


def _view(spec: Experiment, trial: TrialRecord) -> TrialView:
    attempts = tuple(_attempt(trial.number, a) for a in trial.attempts)
    return TrialView(
        trial.number,
        attempts,
        Reading(dict(trial.metrics)),
        repeats=spec.runs(trial.retest_of is not None),
        retest=trial.retest_of is not None,
    )


def _attempt(trial: int, record: AttemptRecord) -> AttemptView:
    ended = record.ended is not None
    facts = AttemptFacts(
        record.key(trial),
        "ended" if ended else "running" if record.started else "pending",
        record.created,
        record.started,
        record.ended,
        ExitFacts(record.exit_code, None, record.reason, record.message) if ended else None,
        record.node,
        queued=record.in_queue,
    )
    return AttemptView(
        record.number,
        record.created,
        facts,
        record.stop,
        outcome=outcome_of(record.outcome),
        reason=record.reason,
        repeat=record.repeat,
        queued=record.queued,
        admitted=record.admitted,
    )
