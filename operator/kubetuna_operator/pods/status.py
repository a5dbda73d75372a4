"""What a Pod's object says of the attempt that it is: one pure view, and one table of reasons.

Kubernetes tells an end in many places (the container's state, the Pod's reason, its conditions, its deletion);
here they become the facts that the core's outcome table knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptPhase, ExitFacts
from kubetuna.trials.environment import TRIAL
from kubetuna.trials.last_words import LIMIT, last_words
from kubetuna.trials.records import bounded
from kubetuna_operator import (
    ANNOTATION_EXPERIMENT,
    ANNOTATION_PARAMS,
    ANNOTATION_TIMEOUT,
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_REPEAT,
    LABEL_TOLD,
    LABEL_TRIAL,
    METRICS_CONTAINER,
)
from kubetuna_operator.kube.objects import mapping, mappings, required, seconds, text, whole
from kubetuna_operator.pods import failure_note
from kubetuna_operator.pods.kueue import is_gated

# The kubelet tries these again for ever: what stands in the way, by the word that it uses at the moment.
OBSTACLES = {
    **dict.fromkeys(("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"), "image"),
    **dict.fromkeys(("ImageInspectError", "RegistryUnavailable"), "image"),
    **dict.fromkeys(("CreateContainerConfigError", "CreateContainerError", "RunContainerError"), "container"),
}
# The Pod failed before its container ever ran, and not by its own fault.
NOT_ADMITTED = {"UnexpectedAdmissionError": "UnexpectedAdmissionError", "NodeAffinity": "NodeAffinity"}
# Exit codes of a container that was told to end, or made to.
KILLED = (143, 137)
START_EXITS = frozenset({"StartError", "ContainerCannotRun"})
# The kubelet says "Evicted" of a node without disk and of a Pod that broke its own limit; the message tells which.
_OWN_STORAGE = re.compile(r"exceed(s|ed) (its local ephemeral storage|the total|the) limit")
_NUMBER = re.compile(r"[0-9]{1,9}")
_REVISION = re.compile(r"[0-9]{1,20}")
LOST_SECONDS = 60.0
# For how long after the trial its metrics container may read: Kubernetes tells it to leave only once every other
# container of the Pod has ended too.
FOLLOWING_SECONDS = 30.0
# How we stop a Pod; no template has reason to say so.
STOP_DEADLINE = 1


@dataclass(frozen=True, slots=True)
class PodView:
    """What the operator keeps of a Pod; times in seconds since the epoch.

    ``obstacle`` is what keeps it from starting, where another template may be the only help; ``disruption`` who
    takes it away, before it has ended too; ``following``: its metrics container still reads what the trial wrote;
    ``torn``: that was made to end before it had said all;
    ``queued``: nothing keeps it from starting but its queue; ``failure``: how its attempt had failed when this Pod
    was told to end for that.
    """

    namespace: str
    name: str
    uid: str
    owner: str
    owner_reference: Mapping[str, Any]
    experiment: str
    key: AttemptKey
    params_hash: str
    told: bool
    created: float | None
    phase: str
    node: str | None
    deleted: float | None
    timeout: float | None
    deadline: int | None
    started: float | None
    ended: float | None
    exit: ExitFacts | None
    waiting: str | None
    obstacle: str
    last_word: str = ""
    following: bool = False
    torn: bool = False
    labels: Mapping[str, Any] = field(default_factory=dict)
    disruption: ExitFacts | None = None
    queued: bool = False
    failure: ExitFacts | None = None
    # No change by itself; only the order of what is known of one Pod.
    revision: int | None = field(default=None, compare=False)

    @property
    def may_run(self) -> bool:
        """Whether it runs, or may yet, for a trial of which nothing was told."""
        return not self.told and self.exit is None

    @property
    def stopping(self) -> bool:
        """Whether the API server has what ends it: our deadline, or anyone's deletion."""
        return self.deadline == STOP_DEADLINE or self.deleted is not None


def view(pod: Mapping[str, Any]) -> PodView:
    """Project a Pod. ``primary`` container: the one that carries our environment, else the first.

    Raises:
        Unreadable: it has no name or no UID.
    """
    metadata, spec, status = (mapping(pod.get(field)) for field in ("metadata", "spec", "status"))
    labels, notes = mapping(metadata.get("labels")), mapping(metadata.get("annotations"))
    owners = mappings(metadata.get("ownerReferences"))
    owner = next((o for o in owners if o.get("controller") is True), owners[0] if owners else {})
    state = _state(primary_container(spec), status)
    waiting, obstacle = _waiting(status)
    queued = is_gated(pod) and not metadata.get("deletionTimestamp")
    return PodView(
        namespace=text(metadata.get("namespace")),
        name=required(metadata, "name"),
        uid=required(metadata, "uid"),
        owner=text(notes.get(ANNOTATION_EXPERIMENT)) or text(owner.get("uid")),
        owner_reference=owner,
        experiment=text(labels.get(LABEL_EXPERIMENT)),
        key=_key(labels),
        params_hash=text(notes.get(ANNOTATION_PARAMS)),
        told=LABEL_TOLD in labels,
        created=seconds(metadata.get("creationTimestamp")),
        phase=_phase(status),
        node=text(spec.get("nodeName")) or None,
        deleted=seconds(metadata.get("deletionTimestamp")),
        timeout=_timeout(notes.get(ANNOTATION_TIMEOUT)),
        deadline=whole(spec.get("activeDeadlineSeconds")),
        started=_started(state),
        ended=seconds(mapping(state.get("terminated")).get("finishedAt")),
        exit=_exit(pod, state),
        waiting=None if queued else waiting,
        obstacle=obstacle,
        last_word=text(mapping(state.get("terminated")).get("message")),
        following=_follows(status),
        torn=any(whole(mapping(s.get("terminated")).get("exitCode")) for s in _metrics_states(status)),
        labels=labels,
        disruption=_disruption(status),
        queued=queued,
        failure=failure_note.read(notes),
        revision=_revision(metadata.get("resourceVersion")),
    )


def facts(pod: PodView, now: float, lost_after: float = LOST_SECONDS) -> AttemptFacts:
    """The attempt as the plan sees it.

    A Pod that should have been gone ``lost_after`` seconds ago is on a node that does not answer.
    """
    phase: AttemptPhase = "pending" if pod.started is None else "running"
    exit_facts = None
    if pod.phase in ("Succeeded", "Failed") or (pod.exit is not None and not _may_say_more(pod, now)):
        phase, exit_facts = "ended", pod.exit or ExitFacts()
    elif pod.deleted is not None and now > pod.deleted + lost_after:
        phase, exit_facts = "ended", ExitFacts(reason="NodeLost", message="its node does not answer")
    times = (pod.created, pod.started, pod.ended)
    queued = pod.queued and phase == "pending"
    return AttemptFacts(pod.key, phase, *times, exit_facts, pod.node, pod.waiting, pod.uid, pod.stopping, queued)


def _may_say_more(pod: PodView, now: float) -> bool:
    """Whether what is read of a trial that has ended is still to come; not for ever, where others keep the Pod."""
    return pod.following and pod.ended is not None and now < pod.ended + FOLLOWING_SECONDS


def _follows(status: Mapping[str, Any]) -> bool:
    running = any(state.get("running") is not None for state in _metrics_states(status))
    return running and _phase(status) not in ("Failed", "Succeeded")


def _metrics_states(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = (s for s in mappings(status.get("initContainerStatuses")) if s.get("name") == METRICS_CONTAINER)
    return [mapping(s.get("state")) for s in found]


def primary_container(spec: Mapping[str, Any]) -> str:
    """The container that carries the trial's environment."""
    containers = mappings(spec.get("containers")) or [{}]
    for container in containers:
        if any(entry.get("name") == TRIAL for entry in mappings(container.get("env"))):
            return text(container.get("name"))
    return text(containers[0].get("name"))


def _key(labels: Mapping[str, Any]) -> AttemptKey:
    # Pods of a version before repeats have no label for theirs.
    repeat = labels.get(LABEL_REPEAT, "0")
    return AttemptKey(_number(labels.get(LABEL_TRIAL)), _number(labels.get(LABEL_ATTEMPT)), _number(repeat))


def _number(label: object) -> int:
    return int(text(label)) if _NUMBER.fullmatch(text(label)) else -1


def _revision(value: object) -> int | None:
    return int(text(value)) if _REVISION.fullmatch(text(value)) else None


def _timeout(note: object) -> float | None:
    try:
        found = float(text(note))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _phase(status: Mapping[str, Any]) -> str:
    return text(status.get("phase")) or "Pending"


def _state(name: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of one that was started again, as a runtime's Pod may be, how it ended: an attempt runs once."""
    for container in mappings(status.get("containerStatuses")):
        if container.get("name") == name:
            before = mapping(container.get("lastState"))
            return before if mapping(before.get("terminated")) else mapping(container.get("state"))
    return {}


def _started(state: Mapping[str, Any]) -> float | None:
    running = mapping(state.get("running")) or mapping(state.get("terminated"))
    if text(running.get("reason")) in START_EXITS:
        return None
    return seconds(running.get("startedAt"))


def _exit(pod: Mapping[str, Any], state: Mapping[str, Any]) -> ExitFacts | None:
    """How it ended; None while it has not. A disruption counts before what the container made of it."""
    metadata, status = mapping(pod.get("metadata")), mapping(pod.get("status"))
    ended = mapping(state.get("terminated"))
    if not ended and _phase(status) not in ("Failed", "Succeeded"):
        return None
    who, ended = ("", ended) if ended else _failed_init(status)
    code = whole(ended.get("exitCode"))
    if (disruption := _disruption(status)) is not None:
        return replace(disruption, exit_code=code)
    reason = _reason(status, ended)
    if reason is None and _ended_by_deletion(metadata, ended):
        reason = "Deleted"
    if reason is None and _is_being_stopped(pod):
        reason = "DeadlineExceeded"
    return ExitFacts(code, None, reason, bounded(who + _message(status, ended), LIMIT))


def _failed_init(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The init container that failed, where the primary one therefore never ran."""
    for container in mappings(status.get("initContainerStatuses")):
        ended = mapping(mapping(container.get("state")).get("terminated"))
        if whole(ended.get("exitCode")):
            return f"init container {container.get('name')!r}: ", ended
    return "", {}


def _disruption(status: Mapping[str, Any]) -> ExitFacts | None:
    """Who takes the Pod away, as soon as they say so: Kubernetes itself, or the queue Kueue."""
    for condition in mappings(status.get("conditions")):
        if condition.get("status") == "True" and condition.get("type") == "DisruptionTarget":
            return ExitFacts(
                reason=text(condition.get("reason")), message=bounded(text(condition.get("message")), LIMIT)
            )
        if condition.get("status") == "True" and condition.get("type") == "TerminationTarget":
            return ExitFacts(reason="StoppedByQueue", message=_why(condition))
    return None


def _is_being_stopped(pod: Mapping[str, Any]) -> bool:
    """Whether our stop may be what ended the container: the kubelet says so only with the Pod's last phase."""
    over = _phase(mapping(pod.get("status"))) in ("Succeeded", "Failed")
    return not over and mapping(pod.get("spec")).get("activeDeadlineSeconds") == STOP_DEADLINE


def _ended_by_deletion(metadata: Mapping[str, Any], ended: Mapping[str, Any]) -> bool:
    """Whether the end followed a deletion: then even exit code 0 only means that it saved and left.

    Once its containers have ended the kubelet deletes such a Pod again, without grace, which moves the time of the
    deletion past that end. One that had ended before anybody deleted it goes at once, unless a finalizer holds it.
    """
    due, finished = seconds(metadata.get("deletionTimestamp")), seconds(ended.get("finishedAt"))
    if due is None:
        return False
    grace = whole(metadata.get("deletionGracePeriodSeconds")) or 0
    if not grace and (not metadata.get("finalizers") or whole(ended.get("exitCode")) in KILLED):
        return True
    return finished is None or finished >= due - grace


def _reason(status: Mapping[str, Any], ended: Mapping[str, Any]) -> str | None:
    pod, own = text(status.get("reason")), text(ended.get("reason"))
    if own == "OOMKilled":
        return "OOMKilled"
    if own in START_EXITS:
        return "StartError"
    if own == "ContainerStatusUnknown":
        return "NodeLost"
    if pod == "Evicted" and _OWN_STORAGE.search(text(status.get("message"))):
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
    return last_words(text(ended.get("message")) or text(status.get("message")))


def _waiting(status: Mapping[str, Any]) -> tuple[str | None, str]:
    """Why it is still pending, and the obstacle."""
    if _phase(status) != "Pending":
        return None, ""
    for found in [*mappings(status.get("initContainerStatuses")), *mappings(status.get("containerStatuses"))]:
        waiting = mapping(mapping(found.get("state")).get("waiting"))
        if obstacle := OBSTACLES.get(text(waiting.get("reason"))):
            return _why(waiting), obstacle
    for condition in mappings(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _why(condition), ""
    return None, ""


def _why(said: Mapping[str, Any]) -> str:
    return bounded(f"{text(said.get('reason'))}: {text(said.get('message'))}", LIMIT)
