"""How this machine's GPUs and cores are dealt out."""

from __future__ import annotations

import json

import pytest

from kubetuna.errors import KubetunaError
from kubetuna.experiment.model import Experiment
from kubetuna.local.slots import slots_of
from kubetuna.parsing.parse import parse_experiment
from tests.local.runs import experiment


def asking(**limits: int) -> Experiment:
    """An experiment whose trials ask for resources; ``_`` stands for the ``/`` of a name."""
    document = json.loads(experiment(""))
    container = document["spec"]["trialTemplate"]["trialSpec"]["spec"]["containers"][0]
    container["resources"] = {"limits": {name.replace("_", "/", 1): count for name, count in limits.items()}}
    return parse_experiment(document)


def test_only_gpus_are_dealt_out_as_gpus() -> None:
    slots = slots_of(asking(**{"nvidia.com_gpu": 1, "rdma_hca": 1}), 8, ("0", "1", "2", "3"))
    assert (slots.each, slots.count) == (1, 4)
    assert slots.free(["0"]) == ("1",)


def test_a_trial_that_asks_for_more_gpus_than_there_are_is_refused() -> None:
    with pytest.raises(KubetunaError, match="asks for 4 GPUs and this machine has 2"):
        slots_of(asking(**{"nvidia.com_gpu": 4}), 8, ("0", "1"))


def test_without_gpus_the_cores_are_the_slots() -> None:
    assert slots_of(asking(**{"nvidia.com_gpu": 4}), 2, ()).count == 2
