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
from tests.controllers.searches import LEADER, SEARCH, comes_to_its_end, found, pod_and_document

# Two controllers make their certificates first.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CLIENT = Path(__file__).with_name("kubeflow_client.py")
TRAINER = "trainer.kubeflow.org/v1alpha1"
TRAINJOBS = f"{TRAINER}/trainjobs"


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
    pod = {"securityContext": around, "containers": [container], "terminationGracePeriodSeconds": 1}
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


def test_kubeflows_sdk_optimizes_and_reads_back(world: World, sdk: str, runtime: str) -> None:
    """Half of the trials fail, in a runtime that would try them again: each runs once, and none runs on."""
    world.install_crds(CRDS.parent / "crds-katib")
    world.operator("--no-leader-election", "--katib")
    read = run_client(sdk, CLIENT, world, runtime)
    assert (read["status"], read["listed"], read["deleted"]) == ("Complete", [read["name"]], True)
    ends = sorted(read["trials"].values())
    # Of what failed the TrainJob is suspended, for which the SDK has no word.
    assert ends == [["bad", "Created"], ["bad", "Created"], ["good", "Complete"], ["good", "Complete"]]
    assert read["best"]["parameters"] == {"x": "0.1", "kind": "good"}
    (metric,) = read["best"]["metrics"]
    assert metric["name"] == "loss" and metric["latest"] == metric["min"] == str(0.1 + 1 / 3)
    assert len(read["log"]) == 3 and read["log"][0].startswith("loss=")
    assert {"TrialFailed", "Succeeded"} <= {*read["events"]}
    assert "Failed to read logs" in read["job log"], "it works: the docs say that it does not"
    world.until("all of it is gone", lambda: not found(world, TRAINJOBS) and not world.pods())


def test_a_search_over_trainjobs_comes_to_its_end(world: World, trainer: Controller, runtime: str) -> None:
    """All Pods run the same script: the first one's log is read."""
    pod, made = pod_and_document(world, LEADER, **SEARCH)
    (container,) = pod["containers"]
    command = [*container["command"], *container["args"]]
    spec = {
        "runtimeRef": {"kind": "TrainingRuntime", "name": runtime},
        "trainer": {"numNodes": 2, "command": command},
    }
    made["spec"]["trialTemplate"]["trialSpec"] = {"apiVersion": TRAINER, "kind": "TrainJob", "spec": spec}
    comes_to_its_end(world, trainer, made, TRAINJOBS)
