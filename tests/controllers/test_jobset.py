"""Trials as JobSets, run by JobSet's own controller."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hack.cluster.controllers import Controller

from kubetuna_operator.kube.api_client import collection
from tests.cluster.operators import World

# The first one waits until the controller answers.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

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
WORKER = "import time\ntime.sleep(4)"


def document(world: World, leader: str = LEADER, worker: str = WORKER, **spec: Any) -> dict[str, Any]:
    """An experiment whose trials are JobSets of a leader and two workers."""
    made: dict[str, Any] = json.loads(world.document(leader, **spec))
    pod = made["spec"]["trialTemplate"]["trialSpec"]["spec"]
    container = pod["containers"][0]
    other = {**pod, "containers": [{**container, "args": [worker]}]}
    jobs = [_replicated("leader", pod, 1), _replicated("workers", other, 2)]
    made["spec"]["trialTemplate"]["trialSpec"] = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "spec": {"replicatedJobs": jobs},
    }
    return made


def _replicated(name: str, pod: dict[str, Any], pods: int) -> dict[str, Any]:
    job = {"parallelism": pods, "completions": pods, "completionMode": "Indexed", "template": {"spec": pod}}
    return {"name": name, "replicas": 1, "template": {"spec": job}}


def jobsets(world: World) -> list[dict[str, Any]]:
    path = collection("jobset.x-k8s.io/v1alpha2/jobsets", world.namespace)
    found: list[dict[str, Any]] = world.api.get(path)["items"]
    return found


def test_a_search_over_jobsets_comes_to_its_end(world: World, jobset: Controller) -> None:
    """With pruning, and with the controller killed in the middle: no trial is lost, none is tried twice."""
    world.operator()
    pruning = {"algorithmName": "median", "algorithmSettings": [{"name": "n_startup_trials", "value": "1"}]}
    points = [{"x": 0.1}, {"x": 0.9}, {"x": 0.2}, {"x": 0.95}]
    world.put(
        document(world, maxTrialCount=4, parallelTrialCount=2, earlyStopping=pruning, warmStart={"points": points})
    )
    world.until("three Pods of a JobSet run", lambda: len(world.running()) >= 3)
    for pod in world.api.get(collection("pods", jobset.namespace))["items"]:
        world.api.delete(f"{collection('pods', jobset.namespace)}/{pod['metadata']['name']}", gracePeriodSeconds=0)
    status = world.ended(within=240)
    trials = world.trials()
    assert status["state"] == "Succeeded" and trials[3].outcome == "Pruned"
    assert [len(t.attempts) for t in trials] == [1] * 4
    assert [t.params for t in trials] == points
    assert all(t.steps for t in trials) and trials[0].values == (pytest.approx(0.1 + 1 / 8),)
    world.until("all of them are gone", lambda: not jobsets(world) and not world.pods())


def test_a_worker_that_fails_fails_its_trial(world: World, jobset: Controller) -> None:
    world.operator()
    world.put(document(world, worker="raise SystemExit(3)", maxTrialCount=1, maxFailedTrialCount=0))
    assert world.ended(within=120)["trialsFailed"] == 1
    (trial,) = world.trials()
    assert (trial.outcome, trial.attempts[0].exit_code) == ("Crashed", 3)
    world.until("its Pods are gone or over", lambda: not world.running())
