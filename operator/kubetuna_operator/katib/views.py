"""What Katib's objects show, from ours: the status of an Experiment, and whole Trials, as Katib's SDK reads them.

Katib's own fields and words: https://github.com/kubeflow/katib, ``pkg/apis/controller``, v1beta1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubetuna.parsing.shape import KATIB
from kubetuna.trials.attempts import AttemptKey, attempt_name
from kubetuna.trials.environment import bare
from kubetuna.trials.outcome import Outcome
from kubetuna.trials.records import timestamp
from kubetuna_operator.kube.objects import Owner, mapping, mappings, required, text, whole

LABEL = "katib.kubeflow.org/experiment"
CONDITIONS = ("Created", "Running", "Restarting", "Succeeded", "Failed")
COUNTS = (
    *("trials", "trialsSucceeded", "trialsFailed", "trialsKilled", "trialsEarlyStopped"),
    *("trialsRunning", "trialsPending", "trialMetricsUnavailable"),
)
# Katib's word for a trial, and the list of names that it stands in.
LISTS = {
    "Pending": "pendingTrialList",
    "Running": "runningTrialList",
    "Succeeded": "succeededTrialList",
    "Failed": "failedTrialList",
    "Killed": "killedTrialList",
    "EarlyStopped": "earlyStoppedTrialList",
    "MetricsUnavailable": "metricsUnavailableTrialList",
}
WORDS: Mapping[str, str] = {
    Outcome.PRUNED: "EarlyStopped",
    Outcome.STOPPED: "Killed",
    Outcome.METRICS_UNAVAILABLE: "MetricsUnavailable",
}


@dataclass(frozen=True, slots=True)
class ShownTrial:
    """What of a Trial of ours Katib's shows. ``word`` is Katib's; ``owner`` the UID of our Experiment.

    ``shown`` is the name of Katib's; ``attempts`` the names of the workloads that have run it, the latest last.
    """

    name: str
    uid: str
    owner: str
    experiment: str
    number: int
    word: str
    message: str
    params: tuple[tuple[str, str], ...]
    metrics: tuple[Mapping[str, str], ...]
    started: str
    ended: str
    shown: str = ""
    attempts: tuple[str, ...] = ()


def see(obj: object, label: str) -> ShownTrial:
    """Read a Trial of ours; ``label`` names its Experiment. What cannot be read is left out."""
    metadata, status = (mapping(mapping(obj).get(field)) for field in ("metadata", "status"))
    owners = mappings(metadata.get("ownerReferences"))
    params = mapping(status.get("params"))
    experiment, number = text(mapping(metadata.get("labels")).get(label)), whole(status.get("number")) or 0
    return ShownTrial(
        required(metadata, "name"),
        required(metadata, "uid"),
        text(owners[0].get("uid")) if owners else "",
        experiment,
        number,
        _word(status),
        text(status.get("message")),
        tuple((str(name), bare(value)) for name, value in params.items()),
        tuple(_metrics(status)),
        text(status.get("started")),
        text(status.get("ended")),
        required(metadata, "name"),
        tuple(_ran(status, experiment, number)),
    )


def _ran(status: Mapping[str, Any], experiment: str, trial: int) -> Iterable[str]:
    for one in mappings(status.get("attempts")):
        if one.get("started"):
            yield attempt_name(
                experiment, AttemptKey(trial, whole(one.get("number")) or 0, whole(one.get("repeat")) or 0)
            )


def by_workloads(trials: Iterable[ShownTrial]) -> list[ShownTrial]:
    """Those that ran, each by the name of its workload: Kubeflow's SDK asks for the TrainJob of a Trial's name."""
    return [replace(seen, shown=seen.attempts[-1]) for seen in trials if seen.attempts]


def _word(status: Mapping[str, Any]) -> str:
    state = text(status.get("state"))
    if state == "COMPLETE":
        return "Succeeded"
    if state in ("PRUNED", "FAIL"):
        return WORDS.get(text(status.get("outcome")), "Failed")
    return "Running" if status.get("started") else "Pending"


def _metrics(status: Mapping[str, Any]) -> Iterable[Mapping[str, str]]:
    """Each metric with its lowest, highest and latest value; the curve is that of the objective alone."""
    steps = status.get("steps")
    pairs = [p for p in steps if isinstance(p, list) and len(p) == 2] if isinstance(steps, list) else []
    curve = [value for _, value in pairs if _is_number(value)]
    values = status.get("values")
    first = values[0] if isinstance(values, list) and values else None
    found = False
    for name, value in mapping(status.get("metrics")).items():
        if _is_number(value):
            # Only one metric has a curve, and only its own value is that objective's.
            own = curve if not found and value == first else []
            found = found or bool(own)
            seen = [*own, value]
            yield {
                "name": str(name),
                "latest": bare(own[-1] if own else value),
                "min": bare(min(seen)),
                "max": bare(max(seen)),
            }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def experiment_status(ours: Mapping[str, Any], trials: Sequence[ShownTrial], refused: str = "") -> dict[str, Any]:
    """Katib's status from ours, and from the Trials that are shown; ``refused``: why an edit changes nothing."""
    best = mapping(ours.get("currentOptimalTrial"))
    status = {
        "startTime": text(ours.get("startTime")),
        "completionTime": text(ours.get("completionTime")),
        "lastReconcileTime": text(ours.get("lastReconcileTime")),
        "conditions": _conditions(ours, refused),
        **_counts(ours),
        **{where: [t.shown for t in trials if t.word == word] for word, where in LISTS.items()},
        "currentOptimalTrial": _optimal(best, {t.name: t for t in trials}),
    }
    return {name: value for name, value in status.items() if value}


def _counts(ours: Mapping[str, Any]) -> dict[str, int]:
    """In Katib's a trial counts once; ours names those without metrics among the failed ones."""
    counts = {name: whole(ours.get(name)) or 0 for name in COUNTS}
    counts["trialsFailed"] = max(0, counts["trialsFailed"] - counts["trialMetricsUnavailable"])
    return counts


def _conditions(ours: Mapping[str, Any], refused: str) -> list[dict[str, Any]]:
    """Those that Katib has; what ours refused has failed in Katib's words."""
    found = mappings(ours.get("conditions"))
    kept = [c for c in found if c.get("type") in CONDITIONS]
    if ours.get("state") == "Failed" and not any(c["type"] == "Failed" for c in kept):
        why = {"status": "True", "reason": "SpecInvalid", "message": text(ours.get("message"))}
        kept += [{**c, **why, "type": "Failed"} for c in found if c.get("type") == "Accepted"]
    # Katib's columns take the last condition for the state.
    shown = sorted((_condition(c) for c in kept), key=lambda c: c["status"] == "True")
    runs = [c for c in shown if c["type"] == "Running" and c["status"] == "True"]
    for one in runs:
        # What holds it up stands in our message.
        one["message"] = text(ours.get("message")) or one["message"]
    for one in (runs or shown)[-1:]:
        one["message"] = "; ".join(filter(None, (one["message"], refused)))
    return shown


def _optimal(best: Mapping[str, Any], trials: Mapping[str, ShownTrial]) -> dict[str, Any] | None:
    name = text(best.get("bestTrialName"))
    if not name:
        return None
    shown = mappings(mapping(best.get("observation")).get("metrics"))
    plain = [{"name": m.get("name"), **dict.fromkeys(("latest", "min", "max"), m.get("latest"))} for m in shown]
    seen = trials.get(name)
    return {
        "bestTrialName": seen.shown if seen is not None else name,
        "parameterAssignments": list(mappings(best.get("parameterAssignments"))),
        "observation": {"metrics": list(seen.metrics) if seen is not None and seen.metrics else plain},
    }


def _condition(found: Mapping[str, Any]) -> dict[str, Any]:
    at = text(found.get("lastTransitionTime"))
    words = {name: text(found.get(name)) for name in ("type", "status", "reason", "message")}
    return words | ({"lastTransitionTime": at, "lastUpdateTime": at} if at else {})


def refusal(before: Mapping[str, Any], reason: str, message: str, now: float) -> dict[str, Any]:
    """The status of an Experiment that cannot run, dated once."""
    known = next((c for c in mappings(before.get("conditions")) if c.get("type") == "Failed"), {})
    same = known.get("message") == message and known.get("status") == "True"
    at = text(known.get("lastTransitionTime")) if same else timestamp(now)
    failed = {"type": "Failed", "status": "True", "reason": reason, "message": message, "lastTransitionTime": at}
    return {"conditions": [_condition(failed)]}


def trial(seen: ShownTrial, owner: Owner, objective: object) -> dict[str, Any]:
    """A Trial of Katib's, which goes with ours: with the Experiment, or once it is not among the latest."""
    return {
        "apiVersion": KATIB,
        "kind": "Trial",
        "metadata": {
            "name": seen.shown,
            "namespace": owner.namespace,
            "labels": {LABEL: owner.name},
            "ownerReferences": [_reference(seen)],
        },
        "spec": {
            "objective": objective,
            "parameterAssignments": [{"name": name, "value": value} for name, value in seen.params],
        },
        "status": {
            "conditions": list(_trial_conditions(seen)),
            **({"startTime": seen.started} if seen.started else {}),
            **({"completionTime": seen.ended} if seen.ended and seen.word not in ("Pending", "Running") else {}),
            **({"observation": {"metrics": list(seen.metrics)}} if seen.metrics else {}),
        },
    }


def _reference(seen: ShownTrial) -> dict[str, Any]:
    return {**Owner("", seen.name, seen.uid).reference(), "kind": "Trial"}


def _trial_conditions(seen: ShownTrial) -> Iterable[dict[str, Any]]:
    """Created, then Running, then the end: what holds no more is said to be false, as Katib does."""
    over = seen.word not in ("Pending", "Running")
    found = [("Created", True, "Trial is created", seen.started)]
    if seen.word != "Pending":
        found.append(("Running", not over, "Trial is running", seen.started))
    if over:
        found.append((seen.word, True, seen.message, seen.ended))
    for type_, holds, message, at in found:
        yield _condition(
            {
                "type": type_,
                "status": "True" if holds else "False",
                "reason": f"Trial{type_}",
                "message": message,
                "lastTransitionTime": at,
            }
        )
