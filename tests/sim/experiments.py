"""The Experiments of simulated worlds: small ones, whose undisturbed results can be told from their name."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from kubetuna_operator import GROUP, VERSION

GRACE = 10
GPU = "nvidia.com/gpu"
# The last ones are of one kind each.
SHAPES = 29
KINDS = {24: "PyTorchJob", 25: "JobSet", 26: "Workflow", 27: "claim", 28: "short-lived"}
OF_A_KIND = 0.3
# Never drawn, there where a hardship needs it: its trials go on until its time is over.
ENDLESS = SHAPES
ENDLESS_SECONDS = 120
# Drawn by itself: the first Experiment of one in so many worlds has TrainJobs. This number gives it three trials at
# once, with limits to their time, their start and their retries.
TRAIN_JOBS, TRAIN_JOBS_EVERY = SHAPES + 4, 16
EVERY_SHAPE = (*range(SHAPES), ENDLESS, TRAIN_JOBS)
# Each makes a world longer.
MOST_TRIALS = 4
# One of so many says how many trials are open at most, in place of how many.
BETWEEN = 4
CLAIM = "one-gpu"
TTL_SECONDS = 20
WORKER = {"name": "ROLE", "value": "worker"}


def experiment(name: str, shape: int) -> dict[str, Any]:
    """One of ``SHAPES`` Experiments, or the endless one.

    It samples at random, so that its trials do not depend on each other.
    """
    draw = random.Random(f"shape {shape}")
    trials = min(draw.randint(2, 5), MOST_TRIALS)
    spec: dict[str, Any] = {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {
            "algorithmName": "random",
            "algorithmSettings": [{"name": "seed", "value": shape}],
        },
        "maxTrialCount": trials,
        "parallelTrialCount": draw.randint(1, min(3, trials)),
        "parameters": [
            {"name": "x", "parameterType": "double", "feasibleSpace": {"min": -1, "max": 1}},
            {"name": "n", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 4}},
        ],
        "trialTemplate": _template(_kind(shape, draw)),
    }
    if draw.random() < 0.5:
        spec["budget"] = {"trialTimeout": "60s"}
    if draw.random() < 0.3:
        spec["retryPolicy"] = {"limit": 1}
    if draw.random() < 0.7:
        # More than any one obstacle lasts.
        spec["startTimeout"] = "125s"
    if KINDS.get(shape) == "short-lived":
        spec |= {"ttlSecondsAfterFinished": TTL_SECONDS, "queueName": "team-a"}
        spec["checkpoint"] = {"volume": {"persistentVolumeClaim": {"claimName": "checkpoints"}}}
    if shape == ENDLESS:
        spec["budget"] = {"wallClock": f"{ENDLESS_SECONDS}s"}
    if shape % BETWEEN == 0:
        spec["parallelTrialCount"] = {"max": spec["parallelTrialCount"]}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": spec,
    }


def _kind(shape: int, draw: random.Random) -> str:
    if shape == TRAIN_JOBS:
        return "TrainJob"
    return KINDS.get(shape, "Job" if draw.random() < 0.2 else "Pod")


def most_at_once(spec: Mapping[str, Any]) -> int:
    """How many trials may be open."""
    count = spec["parallelTrialCount"]
    return int(count["max"] if isinstance(count, Mapping) else count)


def drawn(draw: random.Random) -> int:
    """One of the shapes; every third time one of a kind of its own."""
    return draw.choice(list(KINDS)) if draw.random() < OF_A_KIND else draw.randrange(SHAPES)


def study_of(shape: int) -> str:
    """What the trials of a shape do is drawn under this name."""
    return f"shape-{shape}"


def _template(kind: str) -> dict[str, Any]:
    pod, alone = _pod({"resources": {"limits": {GPU: 1}}}), {"restartPolicy": "Never"}
    worker = _pod({"env": [WORKER]})
    match kind:
        case "Job":
            trial = {"apiVersion": "batch/v1", "spec": {"template": {"spec": {**pod, **alone}}}}
        case "PyTorchJob":
            roles = {"Master": {"template": {"spec": pod}}, "Worker": {"template": {"spec": worker}}}
            trial = {"apiVersion": "kubeflow.org/v1", "spec": {"pytorchReplicaSpecs": roles}}
        case "JobSet":
            jobs = [
                {"name": name, "template": {"spec": {"template": {"spec": {**spec, **alone}}}}}
                for name, spec in (("leader", pod), ("workers", worker))
            ]
            trial = {"apiVersion": "jobset.x-k8s.io/v1alpha2", "spec": {"replicatedJobs": jobs}}
        case "TrainJob":
            trainer = {"numNodes": 1, "resourcesPerNode": {"limits": {GPU: 1}}}
            spec = {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer}
            trial = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "spec": spec}
        case "Workflow":
            trial = {"apiVersion": "example.org/v1", "spec": {"steps": [{"spec": pod}]}}
        case "claim":
            claims = [{"name": "gpu", "resourceClaimTemplateName": CLAIM}]
            pod = {**_pod({"resources": {"claims": [{"name": "gpu"}]}}), "resourceClaims": claims}
            trial = {"apiVersion": "v1", "spec": pod}
        case _:
            trial = {"apiVersion": "v1", "spec": pod}
    container = "node" if kind == "TrainJob" else "trial"
    made = {"primaryContainerName": container, "trialSpec": {**trial, "kind": kind if kind[0].isupper() else "Pod"}}
    return {**made, **(_CONDITIONS if kind == "Workflow" else {})}


_CONDITIONS = {
    f"{name}Condition": f'status.[@this].#(phase=="{phase}")#'
    for name, phase in (("success", "Succeeded"), ("failure", "Failed"))
}


def _pod(container: dict[str, Any]) -> dict[str, Any]:
    made = {"name": "trial", "image": "registry.example/trial:1", **container}
    return {"terminationGracePeriodSeconds": GRACE, "containers": [made]}
