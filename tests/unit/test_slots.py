"""How this machine's GPUs and cores are dealt out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kubetuna.errors import KubetunaError
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import resource_units
from kubetuna.local.slots import slots_of
from kubetuna.parsing.parse import parse_experiment
from kubetuna.terminal import differences
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


def test_what_only_an_init_container_asks_for_is_not_taken_on_one_machine() -> None:
    asked = {"nvidia.com_gpu": 1, "deviceclass.resource.kubernetes.io_mig.nvidia.com": 1}
    document = dict(asking(**asked).raw)
    pod = document["spec"]["trialTemplate"]["trialSpec"]["spec"]
    pod["initContainers"] = [{"name": "prepare", "resources": {"limits": {"nvidia.com/gpu": 8}}}]
    spec = parse_experiment(document)
    assert (slots_of(spec, 8, ("0", "1")).each, resource_units(spec)) == (2, 9.0)


def test_gpus_that_would_stand_idle_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asking(**{"nvidia.com_gpu": 1})
    for devices, told in (("0123", True), ("0", False), ("", False)):
        monkeypatch.setattr(differences, "machine_devices", lambda found=devices: tuple(found))
        said = "\n".join(differences.differences(replace(asked, parallel=2)))
        assert ("4 GPUs have room for 4 trials at a time; parallelTrialCount allows 2" in said) is told
