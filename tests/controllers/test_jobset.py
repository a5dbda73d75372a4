"""Trials as JobSets, run by JobSet's own controller."""

from __future__ import annotations

from typing import Any

import pytest
from hack.cluster.controllers import Controller

from tests.cluster.operators import World
from tests.controllers.searches import LEADER, SEARCH, comes_to_its_end, pod_and_document, with_script

# The first one waits until the controller answers.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

JOBSETS = "jobset.x-k8s.io/v1alpha2/jobsets"
WORKER = "import time\ntime.sleep(4)"


def document(world: World, leader: str = LEADER, worker: str = WORKER, **spec: Any) -> dict[str, Any]:
    """An experiment whose trials are JobSets of a leader and two workers."""
    pod, made = pod_and_document(world, leader, **spec)
    jobs = [_replicated("leader", pod, 1), _replicated("workers", with_script(pod, worker), 2)]
    made["spec"]["trialTemplate"]["trialSpec"] = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "spec": {"replicatedJobs": jobs},
    }
    return made


def _replicated(name: str, pod: dict[str, Any], pods: int) -> dict[str, Any]:
    job = {"parallelism": pods, "completions": pods, "completionMode": "Indexed", "template": {"spec": pod}}
    return {"name": name, "replicas": 1, "template": {"spec": job}}


def test_a_search_over_jobsets_comes_to_its_end(world: World, jobset: Controller) -> None:
    comes_to_its_end(world, jobset, document(world, **SEARCH), JOBSETS)


def test_a_worker_that_fails_fails_its_trial(world: World, jobset: Controller) -> None:
    world.operator()
    world.put(document(world, worker="raise SystemExit(3)", maxTrialCount=1, maxFailedTrialCount=0))
    assert world.ended(within=120)["trialsFailed"] == 1
    (trial,) = world.trials()
    assert (trial.outcome, trial.attempts[0].exit_code) == ("Crashed", 3)
    world.until("its Pods are gone or over", lambda: not world.running())
