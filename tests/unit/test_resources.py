"""What a trial costs, and that every text calls it by the same name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kubetuna.analysis.report.cost import cost_card, hours_text
from kubetuna.errors import SpecError
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import (
    claim_templates,
    claimed_by,
    grace_seconds,
    resource_unit,
    resource_units,
    uncounted_claims,
)
from kubetuna.experiment.units import GPU, SLOT, Unit
from kubetuna.parsing.parse import parse_experiment
from kubetuna.terminal.preview import preview, preview_text
from kubetuna.terminal.tables import status_rows
from kubetuna_operator.experiment.status_renderer import _with_text
from tests.local.runs import experiment
from tests.report.studies import Study, study, trial


def document(limits: dict[str, Any], pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(experiment("", **spec))
    template = found["spec"]["trialTemplate"]["trialSpec"]["spec"]
    template["containers"][0]["resources"] = {"limits": limits}
    template.update(pod or {})
    return found


def asking(limits: dict[str, Any], pod: dict[str, Any] | None = None, **spec: Any) -> Experiment:
    return parse_experiment(document(limits, pod, **spec))


CLAIMS = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]}
BESIDE = {"vpc.amazonaws.com/efa": 4, "rdma/hca_shared_devices_a": 8, "hugepages-2Mi": "4Gi"}
ACCELERATORS = (
    "nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb", "nvidia.com/mig-1g.10gb.shared",
    "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi", "google.com/tpu",
    "aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "huawei.com/Ascend910", "cambricon.com/mlu370",
    "nvidia.com/a100", "nvidia.com/a100-80gb", "nvidia.com/gpu-h100", "nvidia.com/l40s", "nvidia.com/gb200",
    "cambricon.com/mlu", "cambricon.com/vmlu", "hygon.com/dcunum", "enflame.com/vgcu", "amd.com/cpx_nps4",
    "example.com/a100-gpu", "volcano.sh/vgpu-number", "cloud-tpus.google.com/v3", "furiosa.ai/rngd",
    "deviceclass.resource.kubernetes.io/gpu.nvidia.com", "deviceclass.resource.kubernetes.io/mig.nvidia.com",
    "deviceclass.resource.kubernetes.io/tpu.google.com", "deviceclass.resource.kubernetes.io/big-gpu",
)  # fmt: skip
OTHERS = (
    "vpc.amazonaws.com/efa", "rdma/hca", "nvidia.com/hostdev", "nvidia.com/gpumem", "nvidia.com/gpucores",
    "nvidia.com/gpu-memory", "nvidia.com/gpumem-percentage", "cambricon.com/mlu.smlu.vmemory",
    "cambricon.com/mlu370.smlu.vcore", "hygon.com/dcucores", "enflame.com/vgcu-percentage", "metax-tech.com/vcore",
    "huawei.com/Ascend910-memory", "tencent.com/vcuda-core", "nvidia.com/gpu-mem.percentage",
    "aliyun.com/gpu-mem", "volcano.sh/vgpu-memory", "gpu.intel.com/millicores", "gpu.intel.com/memory.max",
    "gpu.intel.com/i915_monitoring", "huawei.com/Ascend310P-memory", "openshift.io/sriov",
    "deviceclass.resource.kubernetes.io/netdev.google.com", "deviceclass.resource.kubernetes.io/rdma.example.com",
    "koordinator.sh/gpu", "smarter-devices/fuse", "devices.kubevirt.io/kvm", "example.com/licence",
)  # fmt: skip


def test_eight_gpus_beside_network_cards_cost_eight() -> None:
    spec = asking({"nvidia.com/gpu": 8, **BESIDE})
    assert (resource_units(spec), resource_unit(spec)) == (8.0, GPU)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_accelerators_are_counted_by_their_known_names(name: str) -> None:
    spec = asking({name: 2})
    assert (resource_units(spec), resource_unit(spec)) == (2.0, GPU)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_known_accelerator_costs_nothing_and_its_trial_a_slot(name: str) -> None:
    spec = asking({name: 40})
    assert (resource_units(spec), resource_unit(spec)) == (1.0, SLOT)


def test_a_devices_memory_in_bytes_is_no_number_of_devices() -> None:
    """As Intel's GPU-aware scheduling and HAMi have it, beside the device."""
    for amount in (8589934592, "8Gi", "16G"):
        assert resource_units(asking({"gpu.intel.com/i915": 1, "gpu.intel.com/memory.max": amount})) == 1.0
    assert resource_units(asking({"cambricon.com/vmlu": 1, "cambricon.com/mlu.smlu.vmemory": "20"})) == 1.0
    for amount in ("500m", "1.5", "9" * 30):
        with pytest.raises(SpecError, match=r"memory\.max: .*must be a whole number"):
            asking({"gpu.intel.com/memory.max": amount})


def test_each_claim_is_an_accelerator_unless_the_template_names_some_itself() -> None:
    claims = {
        "resourceClaims": [*CLAIMS["resourceClaims"], {"name": "second", "resourceClaimTemplateName": "one-gpu"}]
    }
    assert resource_units(asking({}, claims)) == 2.0 and resource_unit(asking({}, claims)) is GPU
    assert resource_units(asking({"nvidia.com/gpu": 8}, claims)) == 8.0


def holding(name: str, amount: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "i", "resources": {"limits": {"nvidia.com/gpu": amount}}, **more}


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("first", "units"),
    [
        ([holding("prepare", 8)], 8.0),
        ([holding("prepare", 1)], 2.0),
        ([holding("a", 3), holding("b", 4)], 4.0),
        ([holding("watch", 1, **SIDECAR)], 3.0),
        ([holding("watch", 1, **SIDECAR), holding("prepare", 4)], 5.0),
        ([holding("prepare", 4), holding("watch", 1, **SIDECAR)], 4.0),
    ],
)
def test_init_containers_hold_theirs_before_the_others_and_sidecars_beside_them(
    first: list[dict[str, Any]], units: float
) -> None:
    assert resource_units(asking({"nvidia.com/gpu": 2}, {"initContainers": first})) == units


@pytest.mark.parametrize(("limits", "pod"), [({}, CLAIMS), ({"nvidia.com/gpu": 8}, None), ({}, None)])
@pytest.mark.parametrize(("stated", "units", "unit"), [(4, 4.0, GPU), (0, 1.0, SLOT)])
def test_the_budget_says_what_no_template_tells(
    limits: dict[str, Any], pod: dict[str, Any] | None, stated: int, units: float, unit: Unit
) -> None:
    spec = asking(limits, pod, budget={"acceleratorsPerTrial": stated})
    assert (resource_units(spec), resource_unit(spec)) == (units, unit)


@pytest.mark.parametrize(
    ("limits", "pod", "budget", "units", "held"),
    [
        ({"nvidia.com/gpu": 8, **BESIDE}, None, {}, 8, "8 nvidia.com/gpu"),
        (
            {"nvidia.com/gpu": 1, "nvidia.com/mig-1g.10gb": 2},
            None,
            {},
            3,
            "1 nvidia.com/gpu, 2 nvidia.com/mig-1g.10gb",
        ),
        ({"google.com/tpu": 4}, {"initContainers": [holding("a", 2)]}, {}, 6, "2 nvidia.com/gpu, 4 google.com/tpu"),
        ({}, CLAIMS, {}, 1, "1 accelerator"),
        ({}, CLAIMS, {"acceleratorsPerTrial": 4}, 4, "4 accelerators"),
        (BESIDE, None, {}, 1, ""),
    ],
)
def test_plan_status_report_budget_and_forecast_agree(
    limits: dict[str, Any], pod: dict[str, Any] | None, budget: dict[str, Any], units: int, held: str
) -> None:
    """Two trials of 30 seconds each have ended, of ten."""
    spent = 2 * 30 * units / 3600
    bounds = {"gpuHours": spent, "trialTimeout": 30, **budget}
    text = document(limits, pod, budget=bounds, maxTrialCount=10)
    of = study([trial(0), trial(1)], json.dumps(text))
    unit, status = resource_unit(of.spec), of.status()
    assert unit is (GPU if held else SLOT)
    for part, hours in (("spent", spent), ("forecast", 5 * spent)):
        assert status[part][unit.hours] == pytest.approx(hours, abs=1e-6)
    assert status["message"].startswith(
        f"{GPU.amount(spent)} are spent, of {GPU.amount(spent)} (spec.budget.gpuHours)"
    )
    assert hours_text(status["spent"]) in cost_card(of.view())
    shown = preview(of.spec)
    assert f"cost: at most {unit.amount(spent)}{'; a trial holds ' * bool(held)}{held}" in preview_text(shown)
    unlimited = preview(asking(limits, pod, budget={**bounds, "gpuHours": None}, maxTrialCount=10))
    most = unlimited["cost"][f"max{unit.hours[0].upper()}{unit.hours[1:]}"]
    assert most == pytest.approx(5 * spent)


def test_no_more_trials_are_foretold_than_the_space_has_points() -> None:
    """Two trials of 30 seconds each have ended, of four points."""
    few = {"name": "x", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 4}}
    text = document({}, None, parameters=[few], budget={"trialTimeout": 30}, maxTrialCount=10)
    of = study([trial(0), trial(1)], json.dumps(text))
    assert of.status()["forecast"]["slotHours"] == pytest.approx(4 * 30 / 3600, abs=1e-6)
    assert preview(of.spec)["cost"]["maxSlotHours"] == pytest.approx(4 * 30 / 3600)


@pytest.mark.parametrize("amount", ["9" * 5000, "9" * 10, "2.5", "-1"])
def test_more_devices_than_there_can_be_are_refused(amount: str) -> None:
    init = {"initContainers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": amount}}}]}
    for limits, pod in (({"nvidia.com/gpu": amount}, None), ({}, init)):
        with pytest.raises(SpecError, match=r"nvidia\.com/gpu: "):
            asking(limits, pod)


@pytest.mark.parametrize(
    "pod",
    [
        {"resourceClaims": 3},
        {"resourceClaims": ["gpu"]},
        {"initContainers": [{"name": "a", "resources": "many"}]},
        {"initContainers": [{"name": "a", "resources": {"limits": ["nvidia.com/gpu"]}}]},
    ],
)
def test_what_is_no_resource_is_refused_where_it_stands(pod: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=next(iter(pod))):
        asking({}, pod)


def told(limits: dict[str, Any], pod: dict[str, Any] | None = None) -> str:
    """Every text that says hours, of an experiment with a budget of them."""
    of: Study = study([trial(0)], json.dumps(document(limits, pod, budget={"gpuHours": 2})))
    status = of.status()
    spent = _with_text(status["spent"], resource_unit(of.spec))
    shown = preview(of.spec)
    table = [text for _, text in status_rows(of.spec, status)]
    card = cost_card(of.view())
    texts = [preview_text(shown), json.dumps(shown["cost"]), *table, card, hours_text(spent), spent["text"]]
    return "\n".join(texts)


def test_without_an_accelerator_no_text_speaks_of_gpu_hours() -> None:
    words = told({"vpc.amazonaws.com/efa": 1})
    assert "GPU" not in words and "gpu" not in words
    assert "2 slot-hours" in words and "slot time" in words and "slot hours" not in words


@pytest.mark.parametrize(("limits", "pod"), [({"google.com/tpu": 4}, None), ({}, CLAIMS)])
def test_with_accelerators_or_claims_of_them_no_text_speaks_of_slots(
    limits: dict[str, Any], pod: dict[str, Any] | None
) -> None:
    words = told(limits, pod)
    assert (
        "slot" not in words.lower()
        and "2 GPU-hours" in words
        and "GPU hours" not in words
        and "maxGpuHours" in words
    )


@pytest.mark.parametrize(("asked", "seconds"), [({}, 30.0), ({"terminationGracePeriodSeconds": 0}, 0.0)])
def test_a_grace_period_of_nothing_is_none_and_an_absent_one_kubernetes_default(
    asked: dict[str, Any], seconds: float
) -> None:
    job = {"kind": "Job", "spec": {"template": {"spec": asked}}}
    assert grace_seconds({"kind": "Pod", "spec": asked}) == grace_seconds(job) == seconds


def requesting(*requests: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"spec": {"devices": {"requests": list(requests)}}}}


@pytest.mark.parametrize(
    ("requests", "devices"),
    [
        (({"name": "a", "exactly": {"deviceClassName": "gpu.nvidia.com", "count": 4}},), 4),
        (({"name": "a", "deviceClassName": "gpu.example.com"},), 1),
        (({"name": "a", "exactly": {"deviceClassName": "GPU.nvidia.com", "allocationMode": "All"}},), 1),
        (
            (
                {"name": "a", "exactly": {"deviceClassName": "mig.nvidia.com", "count": 2}},
                {"name": "b", "exactly": {"deviceClassName": "rdma.example.com", "count": 8}},
                {"name": "c", "exactly": {"deviceClassName": "gpu.nvidia.com", "adminAccess": True}},
            ),
            2,
        ),
        (
            (
                {
                    "name": "a",
                    "firstAvailable": [
                        {"name": "one", "deviceClassName": "gpu.nvidia.com"},
                        {"name": "four", "deviceClassName": "mig.nvidia.com", "count": 4},
                    ],
                },
            ),
            4,
        ),
        ((), 0),
    ],
)
def test_a_claim_holds_the_devices_of_accelerators_classes(requests: Any, devices: int) -> None:
    assert claimed_by(requesting(*requests)) == devices


def test_what_claims_give_comes_to_what_the_containers_name_and_the_budget_has_the_last_word() -> None:
    read = replace(asking({"nvidia.com/gpu": 1}, CLAIMS), claimed=4)
    assert resource_units(read) == 5.0 and uncounted_claims(read) == 0
    network = replace(asking({}, CLAIMS), claimed=0)
    assert (resource_units(network), resource_unit(network)) == (1.0, SLOT)
    said = replace(asking({}, CLAIMS, budget={"acceleratorsPerTrial": 2}), claimed=4)
    assert resource_units(said) == 2.0
    exists = {"resourceClaims": [*CLAIMS["resourceClaims"], {"name": "mine", "resourceClaimName": "mine"}]}
    assert claim_templates(asking({}, CLAIMS)) == ("one-gpu",) and claim_templates(asking({}, exists)) == ()


def test_plan_says_what_a_claim_counts_as() -> None:
    assert "note: 1 resource claim of the template counts as one each here" in repr(preview(asking({}, CLAIMS)))
    for known in (asking({"nvidia.com/gpu": 1}, CLAIMS), asking({}, CLAIMS, budget={"acceleratorsPerTrial": 4})):
        assert "resource claim" not in repr(preview(known))


@pytest.mark.parametrize(
    ("limits", "budget", "said"),
    [
        ({"example.com/asic": 2, "cpu": 4}, {}, True),
        ({"example.com/asic": 0}, {}, False),
        ({"example.com/asic": 2}, {"acceleratorsPerTrial": 2}, False),
        ({"example.com/asic": 2, "nvidia.com/gpu": 1}, {}, False),
        ({"cpu": 4}, {}, False),
    ],
)
def test_plan_names_devices_that_it_does_not_know(
    limits: dict[str, Any], budget: dict[str, Any], said: bool
) -> None:
    notes = preview(asking(limits, budget=budget or None))["warnings"]
    words = "no accelerator is known by the name example.com/asic, so a trial costs one slot"
    assert any(note.startswith(words) for note in notes) == said
