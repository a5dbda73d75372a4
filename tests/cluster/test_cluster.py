"""Is the cluster a real one? What every other test takes for granted: Pods, logs, names, GPUs, and its end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hack.cluster import gpus, images, network, processes, room
from hack.cluster.base_image import REFERENCE
from hack.cluster.down import down, leftovers
from hack.cluster.gpus import RESOURCE
from hack.cluster.layout import Layout, find_layout
from hack.cluster.up import up
from kubernetes import client

from tests.cluster.conftest import Cluster

pytestmark = pytest.mark.cluster

ASK_THE_API = """\
import socket, ssl, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
print(socket.gethostbyname("kubernetes.default.svc"))
request = urllib.request.Request("https://kubernetes.default.svc/api/v1/pods")
request.add_header("Authorization", "Bearer " + open(folder + "token").read())
try:
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=folder + "ca.crt"), timeout=10)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def wait_for(what: str, check: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:g} s")


def start_pod(cluster: Cluster, namespace: str, name: str, program: str, gpu: int = 0) -> None:
    limits = {"limits": {RESOURCE: str(gpu)}} if gpu else {}
    container = {
        "name": "main",
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", program],
        "resources": limits,
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    wait_for("the service account", lambda: created(cluster, namespace, {"metadata": {"name": name}, "spec": spec}))


def created(cluster: Cluster, namespace: str, pod: dict[str, Any]) -> bool:
    """A new namespace gets its service account a moment later; until then its Pods are refused."""
    try:
        cluster.api().create_namespaced_pod(namespace, pod)
    except client.ApiException as error:
        if error.status == 403 and "serviceaccount" in str(error.body):
            return False
        raise
    return True


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    pod: Any = cluster.api().read_namespaced_pod(name, namespace)
    return str(pod.status.phase)


def log_of(cluster: Cluster, namespace: str, name: str) -> list[str]:
    wait_for(f"the end of {name}", lambda: phase(cluster, namespace, name) in ("Succeeded", "Failed"))
    return str(cluster.api().read_namespaced_pod_log(name, namespace)).splitlines()


def test_a_node_is_ready(cluster: Cluster) -> None:
    nodes: Any = cluster.api().list_node()
    conditions = [c for node in nodes.items for c in node.status.conditions]
    assert any(c.type == "Ready" and c.status == "True" for c in conditions)


def test_a_pod_runs_and_its_log_is_read(cluster: Cluster, namespace: str) -> None:
    start_pod(cluster, namespace, "hello", "print('step=1 loss=0.5')")
    assert log_of(cluster, namespace, "hello") == ["step=1 loss=0.5"]
    assert phase(cluster, namespace, "hello") == "Succeeded"


def test_a_pod_finds_the_api_by_name_and_may_not_read_pods(cluster: Cluster, namespace: str) -> None:
    start_pod(cluster, namespace, "ask", ASK_THE_API)
    service: Any = cluster.api().read_namespaced_service("kubernetes", "default")
    assert log_of(cluster, namespace, "ask") == [service.spec.cluster_ip, "403"]


def test_a_pod_waits_where_all_gpus_are_taken(cluster: Cluster, namespace: str) -> None:
    """Asks for all in one Pod, so that a test beside this one that holds a GPU does no harm."""
    if not cluster.ours:
        pytest.skip("a given cluster may have no GPUs, or ones that others need")
    start_pod(
        cluster, namespace, "taking", "import time; time.sleep(600)", gpu=int(gpus.advertised(find_layout())[1])
    )
    wait_for("the first Pod to run", lambda: phase(cluster, namespace, "taking") == "Running")
    start_pod(cluster, namespace, "waiting", "print('scheduled')", gpu=1)
    wait_for("the reason", lambda: f"Insufficient {RESOURCE}" in unscheduled(cluster, namespace, "waiting"))
    cluster.api().delete_namespaced_pod("taking", namespace)
    assert log_of(cluster, namespace, "waiting") == ["scheduled"]


def unscheduled(cluster: Cluster, namespace: str, name: str) -> str:
    pod: Any = cluster.api().read_namespaced_pod(name, namespace)
    conditions = pod.status.conditions or []
    return " ".join(c.message or "" for c in conditions if c.type == "PodScheduled" and c.status == "False")


@pytest.fixture
def second(cluster: Cluster, tmp_path: Path) -> Layout:
    """A cluster beside the other one, not up yet: same programs and images, other folder, names and addresses."""
    if not cluster.ours:
        pytest.skip("needs a machine that a cluster can be brought up on")
    return Layout(tmp_path / "second", find_layout().cache)


def test_down_leaves_nothing_behind(second: Layout) -> None:
    before = network_devices()
    try:
        up(second)
        up(second)
        assert REFERENCE in images.loaded(second)
        inside = Cluster(second.kubeconfig, REFERENCE, ours=True)
        start_pod(inside, "default", "left", "import time; time.sleep(600)")
        wait_for("the Pod", lambda: phase(inside, "default", "left") == "Running")
    finally:
        down(second)
    assert leftovers(second) == []
    assert network_devices() == before
    assert str(second.state) not in Path("/proc/self/mountinfo").read_text()


def test_the_end_of_one_cluster_takes_nothing_from_another(tmp_path: Path) -> None:
    """A folder that is removed would take along what another mount namespace has mounted there."""
    layout, place = Layout(tmp_path / "third", tmp_path), tmp_path / "place"
    place.mkdir()
    (tmp_path / "made-folders.json").write_text(json.dumps([str(place)]))
    script = f"mount --bind {tmp_path} {place} && exec sleep 600"
    other = subprocess.Popen(["unshare", "--mount", "sh", "-c", script])
    try:
        wait_for("the mount", lambda: str(place) in Path(f"/proc/{other.pid}/mountinfo").read_text())
        assert room.remove_places(layout) == 0
        assert str(place) in Path(f"/proc/{other.pid}/mountinfo").read_text()
    finally:
        other.kill()
        other.wait()
    assert room.remove_places(layout) == 1 and not place.exists()


def network_devices() -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def test_up_repairs_what_was_lost(second: Layout) -> None:
    """A new kubelet sets its node's GPUs to zero; `up` brings back the daemon and them."""
    try:
        up(second)
        processes.stop(second, "kubelet")
        network.disconnect(second)
        up(second)
        time.sleep(5)  # The kubelet writes its node's status within seconds of its start.
        assert gpus.advertised(second) == (str(gpus.wanted()), str(gpus.wanted()))
    finally:
        down(second)
