"""What may happen at any moment, on a real cluster: nothing is lost, nothing is done twice."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubetuna_operator.kube.api_client import Refused, collection
from tests.cluster.conftest import Cluster
from tests.cluster.operators import PodHistory, World, kill
from tests.cluster.test_operator import CURVE, HANGS
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.cluster

# Between every two steps of ask, journal, Pod, log, tell, delete; the numbers move the moment along.
MOMENTS = (
    "flushing:2", "flushed:1", "launching:1", "launched:1", "read:1", "flushing:3", "flushed:3",
    "read:3", "launching:2", "launched:2", "deleting:1", "deleted:1",
)  # fmt: skip


def test_an_operator_that_dies_between_any_two_steps_runs_every_trial_once(world: World) -> None:
    seen = PodHistory(world)
    world.apply(CURVE, maxTrialCount=24, parallelTrialCount=3)
    for moment in MOMENTS:
        operator = world.operator(KUBETUNA_TEST_DIE_AT=moment)
        world.until(f"its death at {moment}", lambda operator=operator: operator.poll() is not None)
        assert operator.returncode == -signal.SIGKILL, "it must die at that moment, and of nothing else"
    world.operator()
    assert world.ended()["trialsSucceeded"] == 24
    assert len(seen.uids) == 24 and seen.once()
    for trial in world.trials():
        assert len(trial.attempts) == 1 and [step for step, _ in trial.steps] == [1, 2, 3, 4, 5]


def test_two_operators_without_an_election_fence_each_other(world: World) -> None:
    seen = PodHistory(world)
    first = world.operator()
    world.apply(CURVE.replace("0.3", "1"), maxTrialCount=4)
    world.until("some run", world.running)
    world.operator()
    world.until("the first one's end", lambda: first.poll() is not None)
    assert first.returncode == 1
    assert world.ended()["trialsSucceeded"] == 4
    assert len(seen.uids) == 4 and seen.once()


def test_a_leader_that_freezes_past_its_lease_and_thaws_writes_nothing_more(world: World) -> None:
    seen = PodHistory(world)
    first = world.operator("--address=127.0.0.1")
    lease = f"{collection('leases', world.namespace)}/kubetuna-operator"
    world.apply(CURVE.replace("0.3", "1"), maxTrialCount=6)
    world.until("some run", world.running)
    second = world.operator("--address=127.0.0.1")
    first.send_signal(signal.SIGSTOP)
    holder = f"-{second.pid}"
    world.until("the takeover", lambda: world.api.get(lease)["spec"]["holderIdentity"].endswith(holder))
    world.until("its work", lambda: world.status()["trialsSucceeded"] >= 3)
    first.send_signal(signal.SIGCONT)
    world.until("the first one's end", lambda: first.poll() is not None)
    assert first.returncode == 1
    assert world.ended()["trialsSucceeded"] == 6
    assert len(seen.uids) == 6 and seen.once()


def test_a_lease_whose_holders_pod_is_gone_is_taken_at_once(world: World) -> None:
    """Without waiting for the lease's 15 seconds."""
    container = {"name": "operator", "image": world.cluster.image, "command": ["sleep", "600"]}
    pod = {
        "metadata": {"name": "kubetuna-operator-0"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    world.api.merge(
        f"/api/v1/namespaces/{world.namespace}",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": None}}},
    )
    world.make_pod(pod)
    first = world.operator("--address=127.0.0.1", POD_NAME="kubetuna-operator-0")
    lease = f"{collection('leases', world.namespace)}/kubetuna-operator"
    world.until("it leads", lambda: _holder(world, lease) == "kubetuna-operator-0")
    world.until("its Pod runs", lambda: "kubetuna-operator-0" in world.running())
    kill(first)
    second = world.operator("--address=127.0.0.1")
    world.api.delete(f"{collection('pods', world.namespace)}/kubetuna-operator-0", gracePeriodSeconds=0)
    world.until("the takeover", lambda: _holder(world, lease).endswith(f"-{second.pid}"), 12)


def _holder(world: World, lease: str) -> str:
    try:
        return str(world.api.get(lease)["spec"]["holderIdentity"])
    except Refused:
        return ""


def test_a_database_that_goes_away_stops_nothing(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """Trials end while it is away, and are told from their logs once it is back."""
    server = PostgresServer()
    world = World(cluster, namespace, server.url("postgres"), tmp_path)
    try:
        world.install_crds()
        seen = PodHistory(world)
        world.operator()
        world.apply(CURVE.replace("0.3", "1.5"), maxTrialCount=2)
        world.until("both run", lambda: len(world.running()) == 2)
        server.stop()
        world.until("StoreReady is false", lambda: world.condition("StoreReady").get("status") == "False")
        world.until("both have ended by themselves", lambda: _phases(world) == {"Succeeded"})
        server.start()
        assert world.ended()["trialsSucceeded"] == 2
        assert [(len(t.attempts), [s for s, _ in t.steps]) for t in world.trials()] == [(1, [1, 2, 3, 4, 5])] * 2
        assert world.condition("StoreReady")["status"] == "True"
        assert seen.once() and {"StoreUnavailable", "StoreReady"} <= world.events().keys()
    finally:
        world.close()
        server.close()


def _phases(world: World) -> set[str]:
    return {str(p["status"].get("phase")) for p in world.pods()}


def test_an_operator_that_finds_no_database_says_so_and_waits(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    server = PostgresServer()
    server.stop()
    world = World(cluster, namespace, server.url("postgres"), tmp_path)
    try:
        world.install_crds()
        world.operator()
        world.apply(CURVE, maxTrialCount=1)
        world.until("StoreReady is false", lambda: world.condition("StoreReady").get("status") == "False")
        assert not world.pods()
        server.start()
        assert world.ended()["trialsSucceeded"] == 1
    finally:
        world.close()
        server.close()


@pytest.fixture
def dead_node(world: World) -> Iterator[str]:
    """A node without a kubelet. It says Ready once, and then nothing."""
    name = f"dead-{uuid.uuid4().hex[:6]}"
    taint = {"key": "kubetuna.dev/test", "value": name, "effect": "NoSchedule"}
    node = {"metadata": {"name": name, "labels": {"kubetuna.dev/test": name}}, "spec": {"taints": [taint]}}
    world.api.create("/api/v1/nodes", node)
    _ready(world, name, "True")
    yield name
    world.api.delete(f"/api/v1/nodes/{name}")


def _ready(world: World, node: str, status: str) -> None:
    room = {"cpu": "4", "memory": "4Gi", "pods": "10"}
    condition = {"type": "Ready", "status": status, "reason": "Test", "message": ""}
    change = {"status": {"conditions": [condition], "capacity": room, "allocatable": room}}
    world.api.merge(f"/api/v1/nodes/{node}/status", change)


def test_a_node_that_stops_answering_costs_an_attempt_and_no_trial(world: World, dead_node: str) -> None:
    world.operator("--no-leader-election", "--node-grace=1")
    prefer = {"matchExpressions": [{"key": "kubetuna.dev/test", "operator": "In", "values": [dead_node]}]}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 100, "preference": prefer}
    ]}}  # fmt: skip
    tolerations = [
        {"key": "kubetuna.dev/test", "operator": "Exists"},
        {
            "key": "node.kubernetes.io/not-ready",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 0,
        },
    ]
    world.until("the node is taken for ready", lambda: _taints(world, dead_node) == {"kubetuna.dev/test"})
    world.apply(CURVE, pod={"affinity": affinity, "tolerations": tolerations}, maxTrialCount=1)
    path = f"{collection('pods', world.namespace)}/small-0-0-0"
    world.until("it is on the dead node", lambda: any(
        p["spec"].get("nodeName") == dead_node for p in world.pods()
    ))  # fmt: skip
    started = {"name": "trial", "image": "", "imageID": "", "ready": True, "restartCount": 0,
               "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}  # fmt: skip
    world.api.merge(f"{path}/status", {"status": {"phase": "Running", "containerStatuses": [started]}})
    world.until("it is seen running", lambda: world.status().get("trialsRunning") == 1)
    _ready(world, dead_node, "False")
    assert world.ended()["state"] == "Succeeded"
    (trial,) = world.trials()
    assert [a.outcome for a in trial.attempts] == ["Infrastructure", "Succeeded"]
    assert trial.attempts[0].node == dead_node


def _taints(world: World, node: str) -> set[str]:
    return {taint["key"] for taint in world.api.get(f"/api/v1/nodes/{node}")["spec"].get("taints", [])}


def test_a_namespace_deleted_under_a_running_experiment_goes(
    cluster: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    world = World(cluster, name, postgres_url, tmp_path)
    world.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    world.install_crds()
    try:
        world.operator()
        world.apply(HANGS, maxTrialCount=2)
        world.until("both run", lambda: len(world.running()) == 2)
        world.api.delete(f"/api/v1/namespaces/{name}")
        world.until("it is gone", lambda: not world.exists_namespace())
        assert {t.outcome for t in world.trials()} == {"Deleted"}
    finally:
        world.close()
