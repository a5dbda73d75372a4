"""The faults, each by its name: what it does, to which place, for how long, and how it is undone.

Several places are hit at once, so whatever a fault asks of the cluster may find it away, and is asked again.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hack.cluster import node, processes

from kubetuna_operator.kube.api_client import Refused, collection
from tests.chaos.relay import State
from tests.chaos.stage import Stage

Undo = Callable[[], None]


# Of each only one is hit at a time, by one fault; of what is not named here there is one.
PLACES = {"operator": 2}


@dataclass(frozen=True, slots=True)
class Fault:
    """``begin`` returns what ends it, at most ``longest`` seconds later. ``ours``: only on a cluster of our own.

    It is told which one of its ``place`` to hit.
    """

    name: str
    place: str
    begin: Callable[[Stage, int], Undo]
    longest: float = 0.0
    ours: bool = False


def nothing() -> None:
    """It is over at once."""


def kill_operator(stage: Stage, at: int) -> Undo:
    """Without a word; the other one may lead meanwhile."""
    operator = stage.operators[at]
    operator.kill()
    return operator.start


def freeze_operator(stage: Stage, at: int) -> Undo:
    """Longer than its Lease, at times: it wakes up as an old leader."""
    operator = stage.operators[at]
    operator.send(signal.SIGSTOP)
    return lambda: operator.send(signal.SIGCONT)


def kill_database(stage: Stage, _: int) -> Undo:
    """As a crash of its machine would."""
    stage.postgres.stop("immediate")
    return stage.postgres.start


def delete_pod(stage: Stage, _: int) -> Undo:
    """As a person does with kubectl."""
    return _each_pod(stage, 1, lambda path: stage.world.api.delete(path))


def delete_pod_by_force(stage: Stage, _: int) -> Undo:
    """With no grace: the API server forgets it at once, whatever still runs."""
    return _each_pod(stage, 1, lambda path: stage.world.api.delete(path, gracePeriodSeconds=0), force=True)


def drain_node(stage: Stage, _: int) -> Undo:
    """Cordon every node and evict every trial."""
    _cordon(stage, True)
    _each_pod(stage, 1000, lambda path: _evict(stage, path))
    return lambda: stage.patiently(lambda: _cordon(stage, False))


def _cordon(stage: Stage, whether: bool) -> None:
    for found in stage.world.api.get("/api/v1/nodes")["items"]:
        path = f"/api/v1/nodes/{found['metadata']['name']}"
        stage.world.api.merge(path, {"spec": {"unschedulable": whether}})


def _evict(stage: Stage, path: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": path.rsplit("/", 1)[1]}}
    stage.world.api.create(f"{path}/eviction", body)


def _each_pod(stage: Stage, most: int, do: Callable[[str], None], force: bool = False) -> Undo:
    pods = stage.trial_pods()
    for pod in stage.random.sample(pods, min(most, len(pods))):
        stage.note_hit(pod, force)
        # It may have gone by itself.
        with contextlib.suppress(Refused):
            do(f"{collection('pods', stage.world.namespace)}/{pod['metadata']['name']}")
    return nothing


def fill_quota(stage: Stage, _: int) -> Undo:
    """No Pod may be made."""
    path = f"/api/v1/namespaces/{stage.world.namespace}/resourcequotas"
    quota: dict[str, Any] = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    stage.world.api.apply(f"{path}/full", {"apiVersion": "v1", "kind": "ResourceQuota", **quota}, "test")
    return lambda: stage.patiently(lambda: stage.world.api.delete(f"{path}/full"))


def _network(which: str, state: State) -> Callable[[Stage, int], Undo]:
    def begin(stage: Stage, at: int) -> Undo:
        relay = getattr(stage.operators[at], which)
        relay.set(state)
        return lambda: relay.set("open")

    return begin


def kill_api_server(stage: Stage, _: int) -> Undo:
    """Away, with every watch."""
    assert stage.layout
    processes.stop(stage.layout, "kube-apiserver", signal.SIGKILL)
    return stage.start_control_plane


def kill_kubelet(stage: Stage, _: int) -> Undo:
    """What runs goes on running; nobody tells of it."""
    assert stage.layout
    layout = stage.layout
    processes.stop(layout, "kubelet", signal.SIGKILL)

    def start() -> None:
        node.start(layout)
        node.wait_ready(layout)

    return start


def _freeze(daemon: str) -> Callable[[Stage, int], Undo]:
    def begin(stage: Stage, _: int) -> Undo:
        assert stage.layout
        record = processes.read_record(stage.layout, daemon)
        assert record
        os.kill(record.pid, signal.SIGSTOP)
        return lambda: os.kill(record.pid, signal.SIGCONT)

    return begin


FAULTS = (
    Fault("operator killed", "operator", kill_operator, 2.0),
    Fault("operator frozen", "operator", freeze_operator, 20.0),
    Fault("operator cut off from the API server", "operator", _network("api", "cut"), 8.0),
    Fault("operator hears nothing from the API server", "operator", _network("api", "silent"), 20.0),
    Fault("operator cut off from the database", "operator", _network("database", "cut"), 8.0),
    Fault("operator hears nothing from the database", "operator", _network("database", "silent"), 20.0),
    Fault("database killed", "database", kill_database, 4.0),
    Fault("Pod deleted", "Pods", delete_pod),
    Fault("Pod deleted by force", "Pods", delete_pod_by_force),
    Fault("node drained", "node", drain_node, 2.0),
    Fault("quota full", "quota", fill_quota, 6.0),
    Fault("API server killed", "API server", kill_api_server, 4.0, ours=True),
    Fault("API server frozen", "API server", _freeze("kube-apiserver"), 8.0, ours=True),
    Fault("kubelet killed", "node", kill_kubelet, 4.0, ours=True),
    Fault("kubelet frozen", "node", _freeze("kubelet"), 12.0, ours=True),
)
