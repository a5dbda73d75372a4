"""Katib's API group on a real API server, used as Katib's users do: by their SDK, unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubetuna.parsing.shape import KATIB
from kubetuna_operator.katib.watches import EXPERIMENTS
from kubetuna_operator.kube.api_client import collection
from tests.cluster.clients import python_with, run_client
from tests.cluster.operators import CRDS, World

pytestmark = pytest.mark.cluster

# The SDK cannot be used with later clients, which check types that it does not keep to.
PACKAGES = ("kubeflow-katib==0.19.0", "kubernetes==31.0.0")
CLIENT = Path(__file__).with_name("katib_client.py")


@pytest.fixture(scope="session")
def sdk() -> str:
    """A Python with Katib's SDK."""
    return python_with(*PACKAGES)


@pytest.fixture
def served(world: World) -> World:
    """With an operator that serves Katib's group."""
    world.install_crds(CRDS.parent / "crds-katib")
    world.operator("--no-leader-election", "--katib")
    return world


def test_katibs_sdk_tunes_reads_edits_and_deletes(served: World, sdk: str) -> None:
    found = run_client(sdk, CLIENT, served, served.cluster.image)
    assert found["succeeded"] and not found["running"] and found["edited"] and found["deleted"]
    assert found["listed"] == ["tune-experiment"] and found["trial"] == "tune-experiment-0"
    assert found["trials"] == {f"tune-experiment-{n}": "Succeeded" for n in range(4)}
    assert found["best"].keys() == {"a", "b"} and len(found["details"]) == 4
    (metric,) = found["metrics"]
    assert metric["name"] == "result" and float(metric["min"]) < float(metric["max"]) == float(metric["latest"])
    served.until("all of it is gone", lambda: not served.pods() and not served.api.get(served.path)["items"])


def test_an_edit_that_may_not_be_is_said_and_changes_nothing(served: World) -> None:
    document = json.loads(served.document("import time; time.sleep(600)", maxTrialCount=1, parallelTrialCount=1))
    document |= {"apiVersion": KATIB, "metadata": {"name": "small", "namespace": served.namespace}}
    theirs = f"{collection(EXPERIMENTS, served.namespace)}/small"
    served.api.create(collection(EXPERIMENTS, served.namespace), document)
    served.until("it runs", served.running)
    served.api.merge(theirs, {"spec": {"objective": {"type": "maximize"}}})
    served.until("it is said", lambda: "SpecRefused" in served.events())
    assert "spec.objective" in served.events()["SpecRefused"] and len(served.running()) == 1
    served.api.delete(theirs)
    served.until("all of it is gone", lambda: not served.pods() and not served.api.get(served.path)["items"])
