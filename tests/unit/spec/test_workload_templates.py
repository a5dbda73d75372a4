"""Templates of several Pods: how many there are, what they hold, what is refused and what a plan says of them."""

from __future__ import annotations

from typing import Any

import pytest

from kubetuna.errors import SpecError
from kubetuna.experiment.kinds import KINDS, kind_of
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import (
    accelerators,
    attempt_timeout,
    gpus,
    pod_spec,
    pods_per_trial,
    resource_units,
)
from kubetuna.parsing.parse import parse_experiment, refuse_on_laptop
from kubetuna.terminal.differences import differences
from kubetuna.terminal.preview import preview, preview_text
from tests.spec_table import TEMPLATE, TRIAL, document


def pod(gpu: int = 0, name: str = "trial", **metadata: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": "python", "command": [name]}
    if gpu:
        container["resources"] = {"limits": {"nvidia.com/gpu": gpu}}
    return {"metadata": metadata, "spec": {"containers": [container]}}


def replicas(count: int, gpu: int = 0, name: str = "trial") -> dict[str, Any]:
    return {"replicas": count, "restartPolicy": "OnFailure", "template": pod(gpu, name)}


def job(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {**fields, "template": pod(2)}}


def kubeflow(kind: str, field: str, roles: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "kubeflow.org/v1", "kind": kind, "spec": {field: roles, **spec}}


def replicated(name: str, count: int, gpu: int, **spec: Any) -> dict[str, Any]:
    return {"name": name, "replicas": count, "template": {"spec": {**spec, "template": pod(gpu)}}}


JOBSET = {
    "apiVersion": "jobset.x-k8s.io/v1alpha2",
    "kind": "JobSet",
    "spec": {"replicatedJobs": [replicated("a", 1, 0), replicated("b", 2, 4, parallelism=3, completions=3)]},
}
RAY = {
    "apiVersion": "ray.io/v1",
    "kind": "RayJob",
    "spec": {
        "entrypoint": "python train.py",
        "rayClusterSpec": {
            "headGroupSpec": {"template": pod(0, "head")},
            "workerGroupSpecs": [{"replicas": 3, "template": pod(1, "worker")}],
        },
        "submitterPodTemplate": pod(0, "submitter"),
    },
}


def train_job(trainer: Any, **spec: Any) -> dict[str, Any]:
    body = {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer, **spec}
    return {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "spec": body}


FLOW = {"apiVersion": "example.org/v1", "kind": "Workflow", "spec": {"steps": [pod(1), {"inner": replicas(2, 1)}]}}
ENDS = {"successCondition": "status.done", "failureCondition": "status.broken"}


def parsed(trial: dict[str, Any], **template: Any) -> Experiment:
    own = {f"{TEMPLATE}.{name}": value for name, value in template.items()}
    return parse_experiment(document({TRIAL: trial, "spec.budget": {"gpuHours": 5}, **own}))


CASES: list[tuple[dict[str, Any], dict[str, Any], int, int]] = [
    (job(), {}, 1, 2),
    (job(parallelism=4), {}, 4, 8),
    (job(parallelism=4, completions=2), {}, 2, 4),
    (job(completions=8), {}, 1, 2),
    (job(parallelism=2, completions=8, completionMode="Indexed"), {}, 2, 4),
    (JOBSET, {}, 7, 24),
    (
        kubeflow("PyTorchJob", "pytorchReplicaSpecs", {"Worker": replicas(3, 8), "Master": replicas(1, 8)}),
        {},
        4,
        32,
    ),
    (kubeflow("TFJob", "tfReplicaSpecs", {"PS": replicas(2), "Chief": replicas(1, 1)}), {}, 3, 1),
    (
        kubeflow(
            "MPIJob", "mpiReplicaSpecs", {"Worker": replicas(2, 4, "w"), "Launcher": replicas(1, 0, "launch")}
        ),
        {"primaryContainerName": "launch"},
        3,
        8,
    ),
    (kubeflow("XGBoostJob", "xgbReplicaSpecs", {"Master": replicas(1), "Worker": replicas(2)}), {}, 3, 0),
    (RAY, {"primaryContainerName": "submitter"}, 5, 3),
    (train_job({"numNodes": 3, "resourcesPerNode": {"limits": {"nvidia.com/gpu": 2}}}), {}, 3, 6),
    (train_job({}), {"primaryContainerName": "node"}, 1, 0),
    (FLOW, ENDS, 3, 3),
]


@pytest.mark.parametrize(("trial", "template", "pods", "gpu"), CASES)
def test_all_pods_count_and_all_that_they_hold(
    trial: dict[str, Any], template: dict[str, Any], pods: int, gpu: int
) -> None:
    spec = parsed(trial, **template)
    assert pods_per_trial(spec) == pods and resource_units(spec) == (gpu or 1)
    assert accelerators(spec) == ({"nvidia.com/gpu": gpu} if gpu else {})
    shown = preview(spec)
    assert shown["cost"]["podsPerTrial"] == pods
    assert (f"a trial is {pods} Pods" in preview_text(shown)) == (pods > 1)


def test_claims_of_all_pods_count() -> None:
    trial = job(parallelism=3)
    trial["spec"]["template"]["spec"] |= {"containers": [{"name": "a"}], "resourceClaims": [{"name": "gpu"}]}
    assert resource_units(parsed(trial)) == 3.0


def test_on_a_laptop_the_primary_pods_command_runs_alone_and_that_is_said() -> None:
    trial = kubeflow("TFJob", "tfReplicaSpecs", {"PS": replicas(2, 0, "ps"), "Chief": replicas(1, 1, "chief")})
    spec = parsed(trial, primaryContainerName="chief")
    refuse_on_laptop(spec)
    assert pod_spec(spec.template.trial_spec, "chief")["containers"][0]["command"] == ["chief"] and gpus(spec) == 1
    assert any("without the other 2 Pods" in text for text in differences(spec))


@pytest.mark.parametrize("kind", ["MPIJob", "RayJob"])
def test_what_makes_no_sense_alone_is_refused_on_a_laptop(kind: str) -> None:
    trial, template = next((t, own) for t, own, *_ in CASES if t["kind"] == kind)
    with pytest.raises(SpecError, match=f"a {kind} runs in a cluster only"):
        refuse_on_laptop(parsed(trial, **template))


SPECS = "pytorchReplicaSpecs"
BROKEN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({**FLOW, "spec": {"steps": []}}, ENDS, f"{TRIAL}.spec"),
    (FLOW, {"successCondition": "status.done"}, f"{TRIAL}.kind"),
    (FLOW, {**ENDS, "failureCondition": "status.@x"}, f"{TEMPLATE}.failureCondition"),
    (JOBSET, {"successCondition": "status..x"}, f"{TEMPLATE}.successCondition"),
    (JOBSET, {"primaryContainerName": "other"}, f"{TEMPLATE}.primaryContainerName"),
    ({**JOBSET, "spec": {"replicatedJobs": [replicated("a", 0, 0)]}}, {},
     f"{TRIAL}.spec.replicatedJobs[0].template.spec.template"),
    ({**JOBSET, "spec": {"replicatedJobs": [replicated("a", -1, 0)]}}, {},
     f"{TRIAL}.spec.replicatedJobs[0].replicas"),
    ({**JOBSET, "spec": {"replicatedJobs": "two"}}, {}, f"{TRIAL}.spec"),
    (kubeflow("PyTorchJob", SPECS, {"Master": {"template": pod(labels={"kubetuna.dev/primary": "x"})}}),
     {}, f"{TRIAL}.spec.pytorchReplicaSpecs.Master.template.metadata.labels.kubetuna.dev/primary"),
    (kubeflow("PyTorchJob", SPECS, {"Master": {"template": {"spec": {"containers": [{"nam": "x"}]}}}}),
     {}, f"{TRIAL}.spec.pytorchReplicaSpecs.Master.template.spec.containers[0].nam"),
    (train_job("two"), {}, f"{TRIAL}.spec.trainer"),
    (train_job({"numNodes": 0}), {}, f"{TRIAL}.spec.trainer.numNodes"),
    (train_job({"commands": ["a"]}), {}, f"{TRIAL}.spec.trainer.commands"),
    (train_job({"command": "a"}), {}, f"{TRIAL}.spec.trainer.command"),
    (train_job({"env": [{"value": "a"}]}), {}, f"{TRIAL}.spec.trainer.env[0].name"),
    (train_job({"resourcesPerNode": {"limits": {"cpu": "much"}}}), {},
     f"{TRIAL}.spec.trainer.resourcesPerNode.limits.cpu"),
    (train_job({}, runtimeRef={}), {}, f"{TRIAL}.spec.runtimeRef.name"),
    (train_job({}, runtimePatches="all"), {}, f"{TRIAL}.spec.runtimePatches"),
    (train_job({}, initializer=["data"]), {}, f"{TRIAL}.spec.initializer"),
    (train_job({}), {"primaryContainerName": "trainer"}, f"{TEMPLATE}.primaryContainerName"),
]  # fmt: skip


@pytest.mark.parametrize(("trial", "template", "path"), BROKEN)
def test_a_fault_is_told_at_its_own_path(trial: dict[str, Any], template: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecError) as caught:
        parsed(trial, **template)
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize(
    ("trial", "template", "note"),
    [
        (JOBSET, {"successCondition": 'status.conditions.#(type=="Complete")#'},
         "reads status.conditions for 'Complete', which a JobSet never has; it has Completed, Failed"),
        (FLOW, {**ENDS, "successCondition": "spec.steps"}, "reads spec.steps, which does not change"),
        (FLOW, ENDS, "reads status.done; the trial goes on until it finds something there"),
        (job(parallelism=2), ENDS, "successCondition has no effect: a trial is judged by its Pod"),
        (kubeflow("PyTorchJob", "pytorchReplicaSpecs", {"Master": replicas(1)}), {},
         "pytorchReplicaSpecs.*.restartPolicy is set to Never: retries"),
        (kubeflow("TFJob", "tfReplicaSpecs", {"PS": replicas(1), "Chief": replicas(1, 0, "tensorflow")}), {},
         "trialSpec.spec.tfReplicaSpecs.PS.template has no container named 'tensorflow': a TFJob's controller"),
    ],
)  # fmt: skip
def test_a_plan_says_what_may_never_come_true(trial: dict[str, Any], template: dict[str, Any], note: str) -> None:
    assert any(note in warning for warning in parsed(trial, **template).warnings)


def test_where_a_runtime_has_the_pods_no_container_is_added() -> None:
    collector = {"spec.metricsCollectorSpec": {"collector": {"kind": "File"}}}
    with pytest.raises(SpecError) as caught:
        parse_experiment(document({TRIAL: train_job({"command": ["train"]}), **collector}))
    (problem,) = caught.value.problems
    assert problem.path == "spec.metricsCollectorSpec.collector.kind" and "print the metrics" in problem.message


def test_what_a_plan_has_no_reason_to_say_it_does_not() -> None:
    assert parsed(JOBSET).warnings == ()
    named = kubeflow("TFJob", "tfReplicaSpecs", {"Chief": {"template": pod(0, "tensorflow")}})
    assert parsed(named).warnings == ()


def test_a_deadline_of_the_workload_counts_as_the_trials() -> None:
    roles = {"Master": replicas(1)}
    trial = kubeflow("PyTorchJob", "pytorchReplicaSpecs", roles, runPolicy={"activeDeadlineSeconds": 60})
    spec = parsed(trial)
    made = kind_of(trial).created_spec(trial["spec"])
    assert attempt_timeout(spec) == 60.0 and "activeDeadlineSeconds" not in made["runPolicy"]
    assert made["runPolicy"]["backoffLimit"] == 0
    assert made["pytorchReplicaSpecs"]["Master"]["restartPolicy"] == "Never"
    assert trial["spec"]["pytorchReplicaSpecs"]["Master"]["restartPolicy"] == "OnFailure"


def test_another_version_of_a_known_kind_is_judged_by_the_conditions_that_are_given() -> None:
    trial = {
        **kubeflow("MPIJob", "mpiReplicaSpecs", {"Launcher": replicas(1)}),
        "apiVersion": "kubeflow.org/v2beta1",
    }
    assert kind_of(parsed(trial, **ENDS).template.trial_spec) is not KINDS["MPIJob"]
    with pytest.raises(SpecError):
        parsed(trial)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.judged], ids=lambda kind: kind.name)
def test_every_row_reads_its_own_conditions(kind: Any) -> None:
    assert kind.conclusion({}) is None and kind.conclusion({"status": {"conditions": "x"}}) is None
    ray = kind.name == "RayJob"
    for words, succeeded in (
        (("Succeeded", "Complete", "Completed", "SUCCEEDED"), True),
        (("Failed", "FAILED"), False),
    ):
        listed = [{"type": word, "status": "True", "reason": "a", "message": "b"} for word in words]
        status = {"jobStatus": words[-1]} if ray else {"conditions": listed}
        found = kind.conclusion({"status": status})
        assert found is not None and found.succeeded is succeeded
        assert ray or found.message == "a: b"
