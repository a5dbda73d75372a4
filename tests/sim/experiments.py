"""The Experiments of simulated worlds: small ones, whose undisturbed results can be told from their name."""

from __future__ import annotations

import random
from typing import Any

from kubetuna_operator import GROUP, VERSION
from tests.sim.nodes import GPU

GRACE = 10
SHAPES = 24


def experiment(name: str, shape: int) -> dict[str, Any]:
    """One of ``SHAPES`` Experiments; it samples at random, so that its trials do not depend on each other."""
    draw = random.Random(f"shape {shape}")
    trials = draw.randint(2, 5)
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
        "trialTemplate": _template("Job" if draw.random() < 0.2 else "Pod"),
    }
    if draw.random() < 0.5:
        spec["budget"] = {"trialTimeout": "60s"}
    if draw.random() < 0.3:
        spec["retryPolicy"] = {"limit": 1}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": spec,
    }


def study_of(shape: int) -> str:
    """What the trials of a shape do is drawn under this name."""
    return f"shape-{shape}"


def _template(kind: str) -> dict[str, Any]:
    container = {"name": "trial", "image": "registry.example/trial:1", "resources": {"limits": {GPU: 1}}}
    pod = {"terminationGracePeriodSeconds": GRACE, "containers": [container]}
    if kind == "Pod":
        trial = {"apiVersion": "v1", "kind": "Pod", "spec": pod}
    else:
        job = {"template": {"spec": {**pod, "restartPolicy": "Never"}}}
        trial = {"apiVersion": "batch/v1", "kind": "Job", "spec": job}
    return {"primaryContainerName": "trial", "trialSpec": trial}
