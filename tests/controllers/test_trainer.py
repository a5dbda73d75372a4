"""Trials as TrainJobs, made by Kubeflow's SDK, unchanged, and run by Kubeflow Trainer's own controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hack.cluster.controllers import Controller

from kubetuna_operator.kube.api_client import collection
from tests.cluster.clients import python_with, run_client
from tests.cluster.operators import CRDS, World

# Two controllers make their certificates first.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CLIENT = Path(__file__).with_name("kubeflow_client.py")
TRAINER = "trainer.kubeflow.org/v1alpha1"


@pytest.fixture(scope="session")
def sdk() -> str:
    """A Python with Kubeflow's SDK."""
    return python_with("kubeflow==0.5.0")


@pytest.fixture
def runtime(world: World, trainer: Controller) -> Iterator[str]:
    """What Pod Security wants, and else as Trainer ships its own: a container that fails is tried again."""
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container: dict[str, Any] = {
        "name": "node",
        "image": world.cluster.image,
        "workingDir": "/tmp",
        "securityContext": own,
    }
    container["imagePullPolicy"] = "IfNotPresent"
    around = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"securityContext": around, "containers": [container]}
    step = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    work = {"metadata": {"labels": step}, "spec": {"template": {"spec": pod}}}
    body = {
        "apiVersion": TRAINER,
        "kind": "TrainingRuntime",
        "metadata": {"name": "small", "labels": {"trainer.kubeflow.org/framework": "plain"}},
        "spec": {
            "mlPolicy": {"numNodes": 1},
            "template": {"spec": {"replicatedJobs": [{"name": "node", "template": work}]}},
        },
    }
    world.api.apply(f"{collection(f'{TRAINER}/trainingruntimes', world.namespace)}/small", body, "test")
    yield "small"


def trainjobs(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.api.get(collection(f"{TRAINER}/trainjobs", world.namespace))["items"]
    return found


def test_kubeflows_sdk_optimizes_and_reads_back(world: World, sdk: str, runtime: str) -> None:
    """Half of the trials fail, in a runtime that would try them again: each runs once, and none runs on."""
    world.install_crds(CRDS.parent / "crds-katib")
    world.operator("--no-leader-election", "--katib")
    found = run_client(sdk, CLIENT, world, runtime)
    assert (found["status"], found["listed"], found["deleted"]) == ("Complete", [found["name"]], True)
    ends = sorted(found["trials"].values())
    # Of what failed the TrainJob is suspended, for which the SDK has no word.
    assert ends == [["bad", "Created"], ["bad", "Created"], ["good", "Complete"], ["good", "Complete"]]
    assert found["best"]["parameters"] == {"x": "0.1", "kind": "good"}
    (metric,) = found["best"]["metrics"]
    assert metric["name"] == "loss" and metric["latest"] == metric["min"] == str(0.1 + 1 / 3)
    assert len(found["log"]) == 3 and found["log"][0].startswith("loss=")
    assert {"TrialFailed", "Succeeded"} <= {*found["events"]}
    assert "Failed to read logs" in found["job log"], "it works: the docs say that it does not"
    world.until("all of it is gone", lambda: not trainjobs(world) and not world.pods())
