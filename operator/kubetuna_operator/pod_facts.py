"""What a Pod's object says of the attempt that it is: one pure projection, and one table of reasons.

Kubernetes tells an end in many places (the container's state, the Pod's reason, its conditions, its deletion);
here they become the facts that the core's outcome table knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubetuna.ports import AttemptFacts, AttemptKey, AttemptPhase, ExitFacts
from kubetuna_operator import (
    ANNOTATION_EXPERIMENT,
    ANNOTATION_PARAMS,
    ANNOTATION_TIMEOUT,
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_REPEAT,
    LABEL_TOLD,
    LABEL_TRIAL,
)

# The kubelet tries these again for ever, though only another template would help.
CANNOT_START = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
# The Pod failed before its container ever ran, and not by its own fault.
NOT_ADMITTED = {"UnexpectedAdmissionError": "UnexpectedAdmissionError", "NodeAffinity": "NodeAffinity"}
START_EXITS = frozenset({"StartError", "ContainerCannotRun"})
# The kubelet says "Evicted" of a node without disk and of a Pod that broke its own limit; the message tells which.
_OWN_STORAGE = re.compile(r"exceed(s|ed) (its local ephemeral storage|the total|the) limit")
LOST_SECONDS = 60.0
# How we stop a Pod; no template has reason to say so.
STOP_DEADLINE = 1


@dataclass(frozen=True, slots=True)
class PodView:
    """What the operator keeps of a Pod; times in seconds since the epoch."""

    namespace: str
    name: str
    uid: str
    owner: str
    experiment: str
    key: AttemptKey
    params_hash: str
    told: bool
    created: float
    phase: str
    node: str | None
    deleted: float | None
    timeout: float | None
    deadline: int | None
    started: float | None
    ended: float | None
    exit: ExitFacts | None
    waiting: str | None
    cannot_start: bool
    job: Mapping[str, Any] | None = None
    last_word: str = ""

    @property
    def stopping(self) -> bool:
        """Whether the API server has what ends it: our deadline, or anyone's deletion."""
        return self.deadline == STOP_DEADLINE or self.deleted is not None


def view(pod: Mapping[str, Any]) -> PodView:
    """Project a Pod. ``primary`` container: the one that carries our environment, else the first."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    state = _state(primary_container(spec), status)
    owners = metadata.get("ownerReferences") or [{}]
    waiting, stuck = _waiting(status, state)
    return PodView(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        owner=notes.get(ANNOTATION_EXPERIMENT) or owners[0].get("uid", ""),
        job=owners[0] if owners[0].get("kind") == "Job" else None,
        experiment=labels.get(LABEL_EXPERIMENT, ""),
        key=_key(labels),
        params_hash=notes.get(ANNOTATION_PARAMS, ""),
        told=LABEL_TOLD in labels,
        created=seconds(metadata.get("creationTimestamp")) or 0.0,
        phase=status.get("phase", "Pending"),
        node=spec.get("nodeName"),
        deleted=seconds(metadata.get("deletionTimestamp")),
        timeout=float(notes[ANNOTATION_TIMEOUT]) if ANNOTATION_TIMEOUT in notes else None,
        deadline=spec.get("activeDeadlineSeconds"),
        started=_started(state),
        ended=seconds((state.get("terminated") or {}).get("finishedAt")),
        exit=_exit(pod, state),
        waiting=waiting,
        cannot_start=stuck,
        last_word=str((state.get("terminated") or {}).get("message") or ""),
    )


def facts(pod: PodView, now: float, start_timeout: float, lost_after: float = LOST_SECONDS) -> AttemptFacts:
    """The attempt as the plan sees it.

    A Pod that cannot start for ``start_timeout`` seconds has failed to; one that should have been gone
    ``lost_after`` seconds ago is on a node that does not answer.
    """
    phase: AttemptPhase = "pending" if pod.started is None else "running"
    exit_facts, ended = None, None
    if pod.phase in ("Succeeded", "Failed") or pod.exit is not None:
        phase, exit_facts, ended = "ended", pod.exit or ExitFacts(), pod.ended or now
    elif pod.deleted is not None and now > pod.deleted + lost_after:
        phase, exit_facts, ended = "ended", ExitFacts(reason="NodeLost", message="its node does not answer"), now
    elif pod.cannot_start and now > pod.created + start_timeout:
        phase, exit_facts, ended = "ended", ExitFacts(reason="StartError", message=pod.waiting or ""), now
    return AttemptFacts(
        pod.key, phase, pod.created, pod.started, ended, exit_facts, pod.node, pod.waiting, pod.uid, pod.stopping
    )


def primary_container(spec: Mapping[str, Any]) -> str:
    """The container that carries the trial's environment."""
    containers: list[Mapping[str, Any]] = spec.get("containers") or [{}]
    for container in containers:
        if any(entry.get("name") == "KUBETUNA_TRIAL" for entry in container.get("env") or []):
            return str(container["name"])
    return str(containers[0].get("name", ""))


def seconds(text: str | None) -> float | None:
    """RFC 3339 to seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp() if text else None


def _key(labels: Mapping[str, str]) -> AttemptKey:
    # Pods of a version before repeats have no label for theirs.
    repeat = labels.get(LABEL_REPEAT, "0")
    return AttemptKey(_number(labels.get(LABEL_TRIAL)), _number(labels.get(LABEL_ATTEMPT)), _number(repeat))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else -1


def _state(name: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses") or []:
        if container.get("name") == name:
            found: Mapping[str, Any] = container.get("state") or {}
            return found
    return {}


def _started(state: Mapping[str, Any]) -> float | None:
    running = state.get("running") or state.get("terminated") or {}
    if (running.get("reason") or "") in START_EXITS:
        return None
    return seconds(running.get("startedAt"))


def _exit(pod: Mapping[str, Any], state: Mapping[str, Any]) -> ExitFacts | None:
    """How it ended; None while it has not. A disruption counts before what the container made of it."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    ended = state.get("terminated")
    if ended is None and status.get("phase") not in ("Failed", "Succeeded"):
        return None
    who, ended = ("", ended) if ended else _failed_init(status)
    code = ended.get("exitCode")
    disrupted = next((c for c in status.get("conditions") or [] if _is_disruption(c)), None)
    if disrupted is not None:
        return ExitFacts(code, None, str(disrupted.get("reason")), str(disrupted.get("message", ""))[:300])
    reason = _reason(status, ended)
    if reason is None and _ended_by_deletion(metadata, ended):
        reason = "Deleted"
    if reason is None and _is_being_stopped(pod):
        reason = "DeadlineExceeded"
    return ExitFacts(code, None, reason, (who + _message(status, ended))[:300])


def _failed_init(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The init container that failed, where the primary one therefore never ran."""
    for container in status.get("initContainerStatuses") or []:
        ended: Mapping[str, Any] = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            return f"init container {container.get('name')!r}: ", ended
    return "", {}


def _is_disruption(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"


def _is_being_stopped(pod: Mapping[str, Any]) -> bool:
    """Whether our stop may be what ended the container: the kubelet says so only with the Pod's last phase."""
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not over and pod["spec"].get("activeDeadlineSeconds") == STOP_DEADLINE


def _ended_by_deletion(metadata: Mapping[str, Any], ended: Mapping[str, Any]) -> bool:
    """Whether the end followed a deletion: then even exit code 0 only means that it saved and left."""
    due, finished = seconds(metadata.get("deletionTimestamp")), seconds(ended.get("finishedAt"))
    if due is None:
        return False
    asked = due - float(metadata.get("deletionGracePeriodSeconds") or 0)
    return finished is None or finished >= asked


def _reason(status: Mapping[str, Any], ended: Mapping[str, Any]) -> str | None:
    pod, own = str(status.get("reason") or ""), str(ended.get("reason") or "")
    if own == "OOMKilled":
        return "OOMKilled"
    if own in START_EXITS:
        return "StartError"
    if own == "ContainerStatusUnknown":
        return "NodeLost"
    if pod == "Evicted" and _OWN_STORAGE.search(str(status.get("message") or "")):
        return "StorageLimit"
    if pod in ("DeadlineExceeded", "Evicted", "Preempted", "NodeLost"):
        return pod
    if pod in ("NodeShutdown", "Terminated", "Shutdown"):
        return "NodeShutdown"
    # A kubelet that restarts may refuse a Pod that has long ended: how it ended stands.
    if ended:
        return None
    return "OutOfGpu" if pod.startswith("OutOf") else NOT_ADMITTED.get(pod)


def _message(status: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    lines = str(ended.get("message") or status.get("message") or "").strip().splitlines()
    return lines[-1] if lines else ""


def _waiting(status: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Why it is still pending, and whether only another template would help."""
    if status.get("phase", "Pending") != "Pending":
        return None, False
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for found in statuses:
        waiting = (found.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in CANNOT_START:
            return f"{waiting['reason']}: {waiting.get('message', '')}"[:300], True
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason')}: {condition.get('message', '')}"[:300], False
    return None, False
