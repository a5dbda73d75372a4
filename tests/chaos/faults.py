"""The faults, each by its name: what it does, for how long, and how it is undone."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hack.cluster import controlplane, node, processes

from kubetuna_operator.kube.api_client import Refused, collection
from tests.chaos.relay import State
from tests.chaos.stage import Stage

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """``begin`` returns what ends it, at most ``longest`` seconds later. ``ours``: only on a cluster of our own."""

    name: str
    begin: Callable[[Stage], Undo]
    longest: float = 0.0
    ours: bool = False


def nothing() -> None:
    """It is over at once."""


def kill_operator(stage: Stage) -> Undo:
    """Without a word; the other one may lead meanwhile."""
    operator = stage.random.choice(stage.operators)
    operator.send(signal.SIGKILL)
    operator.process.wait()
    return operator.revive


def freeze_operator(stage: Stage) -> Undo:
    """Longer than its Lease, at times: it wakes up as an old leader."""
    operator = stage.random.choice(stage.operators)
    operator.send(signal.SIGSTOP)
    return lambda: operator.send(signal.SIGCONT)


def kill_database(stage: Stage) -> Undo:
    """As a crash of its machine would."""
    stage.postgres.stop("immediate")
    return stage.postgres.start


def delete_pod(stage: Stage) -> Undo:
    """As a person does with kubectl."""
    return _each_pod(stage, 1, lambda path: stage.world.api.delete(path))


def delete_pod_by_force(stage: Stage) -> Undo:
    """With no grace: the API server forgets it at once, whatever still runs."""
    return _each_pod(stage, 1, lambda path: stage.world.api.delete(path, gracePeriodSeconds=0), force=True)


def drain_node(stage: Stage) -> Undo:
    """Cordon every node and evict every trial."""
    nodes = [n["metadata"]["name"] for n in stage.world.api.get("/api/v1/nodes")["items"]]
    _cordon(stage, nodes, True)
    _each_pod(stage, 1000, lambda path: _evict(stage, path))
    return lambda: _cordon(stage, nodes, False)


def _cordon(stage: Stage, nodes: list[str], whether: bool) -> None:
    for name in nodes:
        stage.world.api.merge(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": whether}})


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


def fill_quota(stage: Stage) -> Undo:
    """No Pod may be made."""
    path = f"/api/v1/namespaces/{stage.world.namespace}/resourcequotas"
    quota: dict[str, Any] = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    stage.world.api.create(path, quota)
    return lambda: stage.world.api.delete(f"{path}/full")


def _network(which: str, state: State) -> Callable[[Stage], Undo]:
    def begin(stage: Stage) -> Undo:
        relay = getattr(stage.random.choice(stage.operators), which)
        relay.set(state)
        return lambda: relay.set("open")

    return begin


def kill_api_server(stage: Stage) -> Undo:
    """Away, with every watch."""
    assert stage.layout
    layout = stage.layout
    processes.stop(layout, "kube-apiserver", signal.SIGKILL)
    return lambda: controlplane.start(layout)


def kill_kubelet(stage: Stage) -> Undo:
    """What runs goes on running; nobody tells of it."""
    assert stage.layout
    layout = stage.layout
    processes.stop(layout, "kubelet", signal.SIGKILL)

    def start() -> None:
        node.start(layout)
        node.wait_ready(layout)

    return start


def _freeze(daemon: str) -> Callable[[Stage], Undo]:
    def begin(stage: Stage) -> Undo:
        assert stage.layout
        record = processes.read_record(stage.layout, daemon)
        assert record
        os.kill(record.pid, signal.SIGSTOP)
        return lambda: os.kill(record.pid, signal.SIGCONT)

    return begin


FAULTS = (
    Fault("operator killed", kill_operator, 2.0),
    Fault("operator frozen", freeze_operator, 20.0),
    Fault("operator cut off from the API server", _network("api", "cut"), 8.0),
    Fault("operator hears nothing from the API server", _network("api", "silent"), 20.0),
    Fault("operator cut off from the database", _network("database", "cut"), 8.0),
    Fault("operator hears nothing from the database", _network("database", "silent"), 20.0),
    Fault("database killed", kill_database, 4.0),
    Fault("Pod deleted", delete_pod),
    Fault("Pod deleted by force", delete_pod_by_force),
    Fault("node drained", drain_node, 2.0),
    Fault("quota full", fill_quota, 6.0),
    Fault("API server killed", kill_api_server, 4.0, ours=True),
    Fault("API server frozen", _freeze("kube-apiserver"), 8.0, ours=True),
    Fault("kubelet killed", kill_kubelet, 4.0, ours=True),
    Fault("kubelet frozen", _freeze("kubelet"), 12.0, ours=True),
)
