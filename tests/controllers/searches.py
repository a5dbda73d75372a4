"""A search over workloads of several Pods, with pruning, whose controller is killed in the middle."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hack.cluster.controllers import Controller

from kubetuna_operator.kube.api_client import collection
from tests.cluster.operators import World

# The primary Pod reports a curve; one of them would never end by itself.
LEADER = """
import json, os, time
x = json.loads(os.environ["KUBETUNA_PARAMS"])["x"]
for step in range(1, 9):
    print(json.dumps({"step": step, "loss": x + 1 / step}), flush=True)
    time.sleep(0.5)
if x > 0.94:
    time.sleep(600)
"""
POINTS = [{"x": 0.1}, {"x": 0.9}, {"x": 0.2}, {"x": 0.95}]
SEARCH: dict[str, Any] = {
    "maxTrialCount": 4,
    "parallelTrialCount": 2,
    "earlyStopping": {
        "algorithmName": "median",
        "algorithmSettings": [{"name": "n_startup_trials", "value": "1"}],
    },
    "warmStart": {"points": POINTS},
}


def pod_and_document(world: World, script: str, **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An experiment, and the spec of its Pod, to be put into what makes such Pods."""
    made: dict[str, Any] = json.loads(world.document(script, **spec))
    return made["spec"]["trialTemplate"]["trialSpec"]["spec"], made


def with_script(pod: dict[str, Any], script: str, **container: Any) -> dict[str, Any]:
    """The same Pod, with another script in its container."""
    return {**pod, "containers": [{**pod["containers"][0], "args": [script], **container}]}


def found(world: World, kind: str) -> list[dict[str, Any]]:
    """The objects of a kind, such as ``kubeflow.org/v1/tfjobs``."""
    items: list[dict[str, Any]] = world.api.get(collection(kind, world.namespace))["items"]
    return items


def comes_to_its_end(world: World, controller: Controller, document: dict[str, Any], kind: str) -> dict[str, Any]:
    """No trial is lost, none is tried twice, and nothing is left. Returns the status."""
    world.operator()
    world.put(document)
    world.until("three Pods of a trial or two run", lambda: len(world.running()) >= 3)
    pods = collection("pods", controller.namespace)
    for pod in world.api.get(pods)["items"]:
        world.api.delete(f"{pods}/{pod['metadata']['name']}", gracePeriodSeconds=0)
    status = world.ended(within=240)
    trials = world.trials()
    assert status["state"] == "Succeeded" and trials[3].outcome == "Pruned"
    assert [len(t.attempts) for t in trials] == [1] * 4
    assert [t.params for t in trials] == POINTS
    assert all(t.steps for t in trials) and trials[0].values == (pytest.approx(0.1 + 1 / 8),)
    world.until("all of them are gone", lambda: not found(world, kind) and not world.pods())
    return status
