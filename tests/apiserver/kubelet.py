"""The scheduler and the kubelets of a cluster without machines: a test says what happens on them.

By themselves (``tick``) they only do what Kubernetes promises: a Pod whose deadline has passed, or that is deleted,
gets SIGTERM and its grace period, and is killed at the end of it. What a container makes of SIGTERM is the test's:
it leaves with 143 unless it was told to ``heed`` it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna_operator.pods.status import seconds
from tests.apiserver.objects import key_of, timestamp
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.resources import PODS, Object
from tests.apiserver.server import Server

SIGTERM, SIGKILL = 143, 137
NO_NODE = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
LATE = "Pod was active on the node longer than the specified deadline"
SHUT_DOWN = "Pod was terminated in response to imminent node shutdown."
EVICTED = "The node was low on resource: memory."
MESSAGE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Heed:
    """What a container does at SIGTERM: it prints lines and leaves, or (``code`` None) takes no notice."""

    code: int | None = SIGTERM
    lines: tuple[str, ...] = ()


class Kubelet:
    """All nodes of a cluster, and its scheduler. Pods are named within ``namespace``."""

    def __init__(self, server: Server, namespace: str) -> None:
        self._server, self._namespace = server, namespace
        self._heeds: dict[str, Heed] = {}
        # Nodes that cannot be reached: whatever is to be done there waits.
        self.silent: set[str] = set()
        # For how long a Pod that was deleted is still there once its containers have ended.
        self.lingering = 0.0
        # When a Pod got SIGTERM, by UID.
        self._terminated: dict[str, float] = {}

    def pods(self) -> Sequence[Object]:
        """All Pods of the namespace."""
        return self._server.objects.of(PODS, self._namespace)

    def pod(self, name: str) -> Object:
        """One Pod."""
        found = self._server.objects.get(PODS, (self._namespace, name))
        assert found is not None, f"there is no Pod {name}"
        return found

    def _edit(self, name: str, edit: Callable[[Object], Any]) -> None:
        self._server.change(self.pod(name), edit)

    def schedule(self, name: str, node: str = "node-1") -> None:
        """Bind a Pod to a node, whose kubelet takes it."""

        def edit(pod: Object) -> None:
            pod["spec"]["nodeName"] = node
            pod["status"]["startTime"] = self._now()
            _set_condition(pod, "PodScheduled", "True")
            _set_states(pod, {"waiting": {"reason": "ContainerCreating"}})

        self._edit(name, edit)

    def find_no_node(self, name: str, message: str = NO_NODE) -> None:
        """The scheduler finds no place for a Pod."""
        self._edit(name, lambda pod: _set_condition(pod, "PodScheduled", "False", "Unschedulable", message))

    def hold_up(self, name: str, reason: str, message: str = "") -> None:
        """The kubelet cannot start the containers."""
        self._edit(name, lambda pod: _set_states(pod, {"waiting": {"reason": reason, "message": message}}))

    def start(self, name: str) -> None:
        """All containers start."""

        def edit(pod: Object) -> None:
            pod["status"]["phase"] = "Running"
            _set_states(pod, {"running": {"startedAt": self._now()}})

        self._edit(name, edit)

    def print(self, name: str, *lines: str, container: str | None = None) -> None:
        """A container prints lines."""
        for line in lines:
            self.write(name, line.encode() + b"\n", container)

    def write(self, name: str, line: bytes, container: str | None = None) -> None:
        """A container writes one line, or with no newline the beginning of one, as its last word."""
        pod = self.pod(name)
        with self._server.changed:
            who = container or pod["spec"]["containers"][0]["name"]
            self._server.logs.add(pod["metadata"]["uid"], who, self._server.clock.now(), line)
            self._server.changed.notify_all()

    def exit(self, name: str, code: int = 0, reason: str = "", message: str = "") -> None:
        """All containers end with this code; ``message`` is what they left as their last word."""
        reason = reason or ("Error" if code else "Completed")
        ended = {"exitCode": code, "reason": reason, "finishedAt": self._now(), "message": message[:MESSAGE_LIMIT]}

        def edit(pod: Object) -> None:
            pod["status"]["phase"] = "Failed" if code else "Succeeded"
            for status in pod["status"]["containerStatuses"]:
                started = (status["state"].get("running") or {}).get("startedAt", self._now())
                status["state"] = {"terminated": {**ended, "startedAt": started}}

        self._close_logs(name)
        self._edit(name, edit)

    def reject(self, name: str, reason: str, message: str = "") -> None:
        """The kubelet refuses a Pod that was bound to its node: nothing of it ever runs, and nobody says when."""
        told = {"phase": "Failed", "reason": reason, "message": message, "containerStatuses": []}
        self._edit(name, lambda pod: pod["status"].update(told))

    def run_out_of_memory(self, name: str) -> None:
        """The kernel kills a container that used more than its limit."""
        self.exit(name, SIGKILL, "OOMKilled")

    def evict(self, name: str, message: str = EVICTED) -> None:
        """The kubelet ends a Pod because its node lacks something."""
        self.disrupt(name, "TerminationByKubelet", message)
        self.exit(name, SIGKILL)
        self._edit(name, lambda pod: pod["status"].update(phase="Failed", reason="Evicted", message=message))

    def shut_down(self, name: str) -> None:
        """The node is shut down, and ends its Pods before."""
        self._edit(name, lambda pod: pod["status"].update(reason="Terminated", message=SHUT_DOWN))
        self.exit(name, SIGTERM)

    def disrupt(self, name: str, reason: str, message: str = "") -> None:
        """Kubernetes marks a Pod that it is about to take away."""
        self._edit(name, lambda pod: _set_condition(pod, "DisruptionTarget", "True", reason, message))

    def lose(self, name: str) -> None:
        """The Pod is gone without a word, as after a deletion by force."""
        with self._server.changed:
            self._server.writes.remove(PODS, self.pod(name))

    def rotate(self, name: str) -> None:
        """Begin new log files: what was printed so far can't be read any more."""
        with self._server.changed:
            self._server.logs.rotate(self.pod(name)["metadata"]["uid"])

    def heed(self, name: str, code: int | None, *lines: str) -> None:
        """What a Pod's containers will do at SIGTERM; code None: nothing."""
        self._heeds[self.pod(name)["metadata"]["uid"]] = Heed(code, lines)

    def tick(self) -> bool:
        """Do what is due. Whether there was anything."""
        did = [self._tick(p) for p in self.pods() if p["spec"].get("nodeName") not in (None, *self.silent)]
        return any(did)

    def _tick(self, pod: Object) -> bool:
        name, late, deleted = pod["metadata"]["name"], self._is_late(pod), "deletionTimestamp" in pod["metadata"]
        if pod["status"]["phase"] in ENDED:
            if deleted and pod["metadata"]["deletionGracePeriodSeconds"] and not self._lingers(pod):
                self._server.deletion.delete(PODS, pod, {"gracePeriodSeconds": 0})
                return True
            return False
        if not (late or deleted):
            return False
        began = pod["metadata"]["uid"] not in self._terminated
        return self._terminate(name, pod, late) or began

    def _lingers(self, pod: Object) -> bool:
        since = self._terminated.get(pod["metadata"]["uid"])
        return since is not None and self._server.clock.now() < since + self.lingering

    def _terminate(self, name: str, pod: Object, late: bool) -> bool:
        """SIGTERM, and SIGKILL at the end of the grace period. Whether the Pod has ended."""
        uid, now = pod["metadata"]["uid"], self._server.clock.now()
        heed, first = self._heeds.get(uid, Heed()), uid not in self._terminated
        since = self._terminated.setdefault(uid, now)
        if first and "running" in pod["status"]["containerStatuses"][0]["state"]:
            self.print(name, *heed.lines)
        started = pod["status"]["phase"] == "Running"
        if started and heed.code is None and now < since + _grace(pod):
            return False
        self.exit(name, SIGKILL if heed.code is None else heed.code)
        if late:
            told = {"phase": "Failed", "reason": "DeadlineExceeded", "message": LATE}
            self._edit(name, lambda p: p["status"].update(told))
        return True

    def _is_late(self, pod: Object) -> bool:
        deadline = pod["spec"].get("activeDeadlineSeconds")
        started = seconds(pod["status"].get("startTime"))
        return deadline is not None and started is not None and self._server.clock.now() >= started + deadline

    def _close_logs(self, name: str) -> None:
        pod = self.pod(name)
        for container in pod["spec"]["containers"]:
            self._server.logs.end(pod["metadata"]["uid"], container["name"])

    def _now(self) -> str:
        return timestamp(self._server.clock.now())


def _grace(pod: Object) -> float:
    return float(pod["metadata"].get("deletionGracePeriodSeconds", pod["spec"]["terminationGracePeriodSeconds"]))


def _set_states(pod: Object, state: Object) -> None:
    pod["status"]["containerStatuses"] = [{"name": c["name"], "state": state} for c in pod["spec"]["containers"]]


def _set_condition(pod: Object, kind: str, status: str, reason: str = "", message: str = "") -> None:
    kept = [c for c in pod["status"].get("conditions") or [] if c["type"] != kind]
    new = {"type": kind, "status": status, "reason": reason, "message": message}
    pod["status"]["conditions"] = [*kept, new]


def is_new(pod: Object) -> bool:
    """Whether no node has been found for it yet."""
    return not pod["spec"].get("nodeName")


def name_of(pod: Object) -> str:
    """Its name."""
    return key_of(pod)[1]
