"""The experiment's status as a dict: Katib's names and meanings, and ours beside them.

The same shape is the resource's ``.status`` in a cluster and the last line of ``kubetuna run --json`` on a
laptop. It does not grow with the trials: counts, no lists of ended trials, at most 100 running trials, the last ten
failures, messages cut. Numbers are finite by construction. What parameters and names make of it is cut where it is
sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetuna.experiment.automatic import search_sentence
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.steps import most_trials
from kubetuna.experiment.units import SECONDS_PER_HOUR, SLOT, Unit
from kubetuna.planning.stopping import StopDecision, is_over
from kubetuna.trials.constraints import why_no_best
from kubetuna.trials.environment import bare
from kubetuna.trials.progress import FAILURE_LIMIT, Results
from kubetuna.trials.records import TrialRecord, bounded, timestamp
from kubetuna.trials.snapshot import Snapshot, TrialView

RUNNING_LIMIT = 100
FRONT_LIMIT = 50
FAILURE_MESSAGE_LIMIT = 200
OVER = ("Succeeded", "Failed")
ANSWERS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; ``since`` is when its status last changed."""

    type: str
    status: bool
    reason: str
    message: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What a status says about itself: when, for which generation, with what unit of resources."""

    now: float
    generation: int | None = None
    unit: Unit = SLOT
    conditions: tuple[Condition, ...] = field(default=())


def render(snapshot: Snapshot, end: StopDecision | None, results: Results, moment: Moment) -> dict[str, Any]:
    """The status. ``end`` is set once nothing more starts; the experiment is over when nothing is open."""
    over = is_over(snapshot, end)
    ended = results.ended_at or snapshot.started or moment.now
    since = ended if over else snapshot.started or moment.now
    status: dict[str, Any] = {
        "startTime": timestamp(snapshot.started or None),
        "completionTime": timestamp(ended) if over else None,
        "lastReconcileTime": timestamp(moment.now),
        "conditions": conditions(snapshot, end, moment, since),
        "state": state(snapshot, end),
        "search": search_sentence(snapshot.spec),
        "currentOptimalTrial": optimal(snapshot.spec, results.best),
        **_counts(snapshot, results),
        **_lists(snapshot, results),
        "spent": _spent(snapshot, results, moment, ended if over else moment.now),
        "forecast": _forecast(snapshot, moment),
        "savedByPruning": _saved(snapshot, results, moment),
        "message": _message(snapshot, end),
        "requests": [answer.as_json() for answer in snapshot.answers[-ANSWERS_SHOWN:]] or None,
    }
    if moment.generation is not None:
        status["observedGeneration"] = moment.generation
    if snapshot.spec.multi_objective:
        status["paretoFront"] = [optimal(snapshot.spec, t) for t in results.front[:FRONT_LIMIT]]
    return {k: v for k, v in status.items() if v is not None}


def state(snapshot: Snapshot, end: StopDecision | None) -> str:
    """One word for people: Created, Running, Suspended, Stopping, Succeeded or Failed."""
    if end is not None and is_over(snapshot, end):
        return "Failed" if failed(snapshot, end) else "Succeeded"
    if end is not None and end.stop_running and not end.retesting:
        return "Stopping"
    if snapshot.spec.suspend:
        return "Suspended"
    return "Running" if snapshot.tally.numbered else "Created"


def state_word(status: Mapping[str, Any]) -> str:
    """The state for people: what nothing carries on does not run, whatever was stored last."""
    word = str(status.get("state", ""))
    return "Interrupted" if status.get("interrupted") and word != "Suspended" else word


def failed(snapshot: Snapshot, end: StopDecision) -> bool:
    """An ended experiment has failed where its stop decision says so, or where it has no result."""
    return end.failed or snapshot.tally.complete == snapshot.tally.infeasible


def conditions(snapshot: Snapshot, end: StopDecision | None, moment: Moment, since: float) -> list[dict[str, Any]]:
    """Katib's conditions and ours; ``since`` is when the experiment started, or ended once it is over."""
    word = state(snapshot, end)
    reason = end.reason if end else "ExperimentRunning"
    text = _message(snapshot, end) or "Experiment is running"
    over = word in OVER
    own = [
        Condition("Created", True, "ExperimentCreated", "Experiment is created"),
        Condition("Running", not over, reason if over else "ExperimentRunning", text),
        Condition("Succeeded", word == "Succeeded", reason if over else "NotFinished", text if over else ""),
        Condition("Failed", word == "Failed", reason if over else "NotFinished", text if over else ""),
        Condition("Suspended", word == "Suspended", "SpecSuspend" if word == "Suspended" else "NotSuspended"),
    ]
    named = {c.type for c in moment.conditions}
    merged = [c for c in own if c.type not in named] + list(moment.conditions)
    return [_condition(c, since) for c in merged]


def _condition(condition: Condition, since: float) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": "True" if condition.status else "False",
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": timestamp(condition.since or since),
    }


def optimal(spec: Experiment, trial: TrialRecord | None) -> dict[str, Any] | None:
    """A trial as Katib's ``currentOptimalTrial``: values as strings there, typed under ``params``."""
    if trial is None:
        return None
    metrics = dict(zip((o.metric for o in spec.objectives), trial.values or (), strict=False))
    metrics.update({k: v for k, v in trial.metrics.items() if k not in metrics})
    shown = {
        "bestTrialName": f"{spec.name}-{trial.number}",
        "number": trial.number,
        "parameterAssignments": [{"name": k, "value": bare(v)} for k, v in trial.params.items()],
        "params": dict(trial.params),
        "observation": {"metrics": [{"name": k, "latest": bare(v)} for k, v in metrics.items()]},
        "values": list(trial.values or ()),
    }
    if trial.repeats:
        names = [o.metric for o in spec.objectives]
        shown["repeats"] = [{name: run[name] for name in names if name in run} for run in trial.repeats]
    if trial.retest_of is not None:
        shown["retestOf"] = trial.retest_of
    return shown


def _message(snapshot: Snapshot, end: StopDecision | None) -> str:
    if end is None:
        return ""
    if end.retesting:
        return f"{end.message}; the best are run again"
    nothing = is_over(snapshot, end) and snapshot.tally.complete and failed(snapshot, end) and not end.failed
    why = why_no_best(snapshot.spec, {"trialsSucceeded": snapshot.tally.complete})
    return f"{end.message}; {why}" if nothing else end.message


def _counts(snapshot: Snapshot, results: Results) -> dict[str, int]:
    tally = snapshot.tally
    running = sum(map(_runs, snapshot.trials))
    return {
        "trials": tally.numbered,
        "trialsSucceeded": tally.complete,
        "trialsFailed": tally.failed,
        "trialsEarlyStopped": tally.pruned,
        "trialsKilled": tally.stopped,
        "trialsRunning": running,
        "trialsPending": len(snapshot.trials) - running,
        **({"trialsInQueue": waiting} if (waiting := sum(map(_queued, snapshot.trials))) else {}),
        "trialMetricsUnavailable": results.metrics_unavailable,
        **({"trialsQueued": snapshot.queued} if snapshot.queued else {}),
        **({"linesCut": results.lines_cut} if results.lines_cut else {}),
        **({"attemptsDisplaced": results.displaced} if results.displaced else {}),
        **({"trialsInfeasible": tally.infeasible} if tally.infeasible else {}),
        **({"trialsRetested": tally.retested} if snapshot.spec.retest is not None else {}),
    }


def _runs(trial: TrialView) -> bool:
    latest = trial.latest
    return bool(latest and latest.facts and latest.facts.phase == "running")


def _queued(trial: TrialView) -> bool:
    latest = trial.latest
    return bool(latest and latest.facts and latest.facts.queued)


def _lists(snapshot: Snapshot, results: Results) -> dict[str, Any]:
    name = snapshot.spec.name
    open_trials = snapshot.trials[:RUNNING_LIMIT]
    return {
        "runningTrialList": [f"{name}-{t.number}" for t in open_trials if _runs(t)],
        "pendingTrialList": [f"{name}-{t.number}" for t in open_trials if not _runs(t)],
        "failures": [
            {"trial": t.number, "outcome": t.outcome, "message": bounded(t.message, FAILURE_MESSAGE_LIMIT)}
            for t in results.failures[-FAILURE_LIMIT:]
        ],
    }


def _spent(snapshot: Snapshot, results: Results, moment: Moment, until: float) -> dict[str, Any]:
    wall = max(0.0, until - snapshot.started) if snapshot.started else 0.0
    queue = results.queue_seconds + snapshot.queue_seconds(until)
    return {
        moment.unit.hours: round(snapshot.spent(moment.now) / SECONDS_PER_HOUR, 6),
        "wallClockSeconds": round(wall, 3),
        **({"queueSeconds": round(queue, 3)} if queue else {}),
        "steps": results.steps,
    }


def _forecast(snapshot: Snapshot, moment: Moment) -> dict[str, Any] | None:
    tally, limit = snapshot.tally, most_trials(snapshot.spec)
    if not tally.ended or limit is None:
        return None
    per_trial = snapshot.resource_seconds / tally.ended
    total = per_trial * max(limit, tally.numbered) / SECONDS_PER_HOUR
    return {moment.unit.hours: round(total, 6)}


def _saved(snapshot: Snapshot, results: Results, moment: Moment) -> dict[str, Any]:
    return {
        "trials": snapshot.tally.pruned,
        "steps": round(results.saved_steps),
        moment.unit.hours: round(results.saved_seconds * snapshot.resource_units / SECONDS_PER_HOUR, 6),
    }


def exit_code(status: Mapping[str, Any]) -> int:
    """What the command line leaves with: 0 once succeeded, else 1."""
    return 0 if status.get("state") == "Succeeded" else 1
