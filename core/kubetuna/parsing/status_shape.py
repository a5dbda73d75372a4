"""The statuses of an Experiment and of a Trial as ``kubectl`` explains and lists them.

The operator writes them (``kubetuna.planning.status``, ``kubetuna.trials.records``) and nothing decides by
them. So some fields are described by name, and all others passed on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from kubetuna.parsing.schema import Decimal, Free, Integer, List, Object, Text, open_object
from kubetuna.trials.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Column:
    """What ``kubectl get`` prints of an object, a wide one with ``-o wide`` only."""

    name: str
    path: str
    kind: Literal["string", "integer", "date"] = "string"
    description: str = ""
    wide: bool = False


_STATES = "Created, Running, Suspended, Stopping, Succeeded or Failed"

CONDITION = Object(
    {
        "type": Text(required=True),
        "status": Text(required=True),
        "reason": Text(),
        "message": Text(),
        "lastTransitionTime": Text(),
        "lastUpdateTime": Text(),
    }
)

EXPERIMENT_STATUS = open_object(
    {
        "state": Text(description=f"{_STATES}."),
        "progress": Text(description="Trials that ended, of those to make, such as 12/20."),
        "message": Text(description="Why the experiment ended or was rejected."),
        "search": Text(description="What the search of algorithm auto does, and why."),
        "observedGeneration": Integer(description="The generation of the spec that this status describes."),
        "trials": Integer(description="Trials so far, open ones among them."),
        "trialsSucceeded": Integer(description="Trials that ended well."),
        "trialsInfeasible": Integer(description="Of those, the ones that violate a constraint."),
        "trialsFailed": Integer(description="Trials that failed, those out of memory among them."),
        "trialsEarlyStopped": Integer(description="Trials that the pruner ended."),
        "trialsKilled": Integer(description="Trials that were stopped at the experiment's end, or by hand."),
        "trialsQueued": Integer(description="Points added by hand, and trials to be run again, that wait."),
        "trialsRunning": Integer(description="Trials whose Pod runs."),
        "trialsPending": Integer(description="Trials whose Pod has not started."),
        "trialsInQueue": Integer(description="Of those, the ones that a queue such as Kueue has not admitted."),
        "attemptsDisplaced": Integer(
            description="Attempts that a queue, the scheduler or a drained node took away; they were tried again."
        ),
        "claimedAccelerators": Integer(
            description="Accelerators that a trial's claims give it, by their templates."
        ),
        "linesCut": Integer(description="Lines of logs that were too long: only their ends were read."),
        "currentOptimalTrial": open_object(
            {"bestTrialName": Text()}, description="The best trial so far, with its parameters and metrics."
        ),
        "requests": List(
            open_object({"id": Text(), "request": Text(), "message": Text()}),
            high=10,
            description="The latest things that people asked of single trials, and what became of them.",
        ),
        "conditions": List(
            CONDITION,
            high=32,
            key="type",
            description="Accepted, Created, Running, Restarting, Succeeded, Failed, StoreReady, Suspended and "
            "Stalled.",
        ),
    },
    description="The experiment's progress; see state, the conditions and currentOptimalTrial.",
)

EXPERIMENT_COLUMNS = (
    Column("State", ".status.state", description=_STATES),
    Column("Trials", ".status.progress", description="Trials that ended, of those to make"),
    Column("Running", ".status.trialsRunning", "integer", "Trials whose Pod runs"),
    Column("Queued", ".status.trialsInQueue", "integer", "Trials that wait for a queue to admit them"),
    Column(
        "Best",
        ".status.currentOptimalTrial.observation.metrics[0].latest",
        description="The objective of the best trial",
    ),
    Column("Best-Trial", ".status.currentOptimalTrial.bestTrialName", description="Which trial that is"),
    Column(
        "Spent", ".status.spent.text", description="GPU-hours (without an accelerator slot-hours) of all attempts"
    ),
    Column("Pruned", ".status.trialsEarlyStopped", "integer", wide=True),
    Column("Failed", ".status.trialsFailed", "integer", wide=True),
    Column("Message", ".status.message", wide=True),
    Column("Description", ".spec.description", wide=True),
    Column("Age", ".metadata.creationTimestamp", "date"),
)

_METRICS = Object({}, values=Decimal())

TRIAL_STATUS = open_object(
    {
        "number": Integer(description="The trial's number in its study, from 0."),
        "state": Text(description="The trial's state, in Optuna's terms: RUNNING, COMPLETE, PRUNED or FAIL."),
        "outcome": Text(description=f"What its last attempt's end meant: {', '.join(Outcome)}."),
        "message": Text(description="The one line that explains the outcome."),
        "value": Text(description="The objective as text; of several the first."),
        "summary": Text(description="The parameters on one line."),
        "queued": Text(date=True, description="Since when it waits in a queue; absent once it is out of it."),
        "started": Text(date=True, description="When its first container started."),
        "ended": Text(date=True, description="When its last container ended."),
        "params": Free("object", description="The parameters in their types."),
        "metrics": replace(_METRICS, description="The metrics that stand for the trial."),
        "values": List(Decimal(), high=8, description="The objectives."),
        "steps": List(
            List(Decimal(), high=2),
            high=50,
            description="At most 50 points of the trial's curve, each a step and a value.",
        ),
        "repeats": List(_METRICS, high=100, description="The metrics of each run, where there are several."),
        "retestOf": Integer(description="The trial whose parameters this one runs again."),
        "linesCut": Integer(description="Lines of its log of which only the end was read."),
        "retryOf": Integer(description="The failed trial in whose place a person had this one run."),
        "space": Free("object", description="Feasible spaces that it was drawn from and that were edited since."),
        "attempts": List(Free("object"), high=10, description="The latest ten attempts: Pods that ran it."),
    },
    description="The trial as the study has it.",
)

TRIAL_COLUMNS = (
    Column("State", ".status.state", description="RUNNING, COMPLETE, PRUNED or FAIL"),
    Column("Outcome", ".status.outcome", description="What the end of its last attempt meant"),
    Column("Value", ".status.value", description="The objective"),
    Column("Queued", ".status.queued", "date", "Since when it waits in a queue"),
    Column("Started", ".status.started", "date"),
    Column("Ended", ".status.ended", "date"),
    Column("Parameters", ".status.summary", wide=True),
    Column("Message", ".status.message", wide=True),
)
