"""Pods as an API server tells of them, one shape per row of the failure table."""

from __future__ import annotations

from typing import Any

from kubetuna_operator import LABEL_ATTEMPT, LABEL_EXPERIMENT, LABEL_TRIAL

STARTED, FINISHED, ASKED = "2026-11-24T10:00:02Z", "2026-11-24T10:00:30Z", "2026-11-24T10:00:20Z"


def ended(code: int, reason: str = "", message: str = "", **more: Any) -> dict[str, Any]:
    """The state of a container that ended."""
    state = {"exitCode": code, "startedAt": STARTED, "finishedAt": FINISHED}
    state |= {"reason": reason or ("Error" if code else "Completed"), **({"message": message} if message else {})}
    return {"terminated": {**state, **more}}


RUNNING = {"running": {"startedAt": STARTED}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """The state of a container that has not started."""
    return {"waiting": {"reason": reason, "message": message}}


def pod(phase: str, state: dict[str, Any] | None = None, *, metadata: dict[str, Any] | None = None,
        conditions: tuple[dict[str, Any], ...] = (), others: dict[str, dict[str, Any]] | None = None,
        inits: dict[str, dict[str, Any]] | None = None, **status: Any) -> dict[str, Any]:  # fmt: skip
    """A Pod of trial 3, attempt 1; ``others`` and ``inits`` are the states of further containers."""
    labels = {LABEL_EXPERIMENT: "small", LABEL_TRIAL: "3", LABEL_ATTEMPT: "1"}
    own = {"name": "trial", "env": [{"name": "KUBETUNA_TRIAL", "value": "3"}]}
    statuses = [{"name": "trial", "state": state}] if state is not None else []
    statuses += [{"name": name, "state": other} for name, other in (others or {}).items()]
    return {
        "metadata": {
            "name": "small-3-0-1", "namespace": "lab", "uid": "u1", "labels": labels,
            "creationTimestamp": "2026-11-24T10:00:00Z",
            "ownerReferences": [{"kind": "Experiment", "uid": "owner"}], **(metadata or {}),
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "sidecar"}, own]},
        "status": {
            "phase": phase, "conditions": list(conditions), "containerStatuses": statuses,
            "initContainerStatuses": [{"name": n, "state": s} for n, s in (inits or {}).items()], **status,
        },
    }  # fmt: skip


def disruption(reason: str) -> dict[str, Any]:
    """The condition that Kubernetes sets on a Pod that it takes away."""
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "taken away"}


# As a Pod is after its kubelet's own deletion: the time of the one that ended it is gone.
FORGOTTEN = {"deletionTimestamp": "2026-11-24T10:05:00Z", "deletionGracePeriodSeconds": 0}
DELETED = {"deletionTimestamp": "2026-11-24T10:00:50Z", "deletionGracePeriodSeconds": 30}
