"""The Pod that an attempt gets: the template's word where it has one, the strictest defaults where not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubetuna.errors import SpecError
from kubetuna.experiment.resources import attempt_timeout
from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptKey, AttemptRequest
from kubetuna_operator import ANNOTATION_PARAMS, LABEL_PRIMARY
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.workloads.manifest import attempt_manifest
from tests.spec_table import JOB, TRIAL, document

OWNER = Owner("lab", "small", "uid-1")
ORDER = AttemptRequest(AttemptKey(3, 1), "small-3-0-1", {"x": 0.5}, "hash", {"KUBETUNA_TRIAL": "3"}, timeout=90.0)


def manifest(**edits: Any) -> dict[str, Any]:
    changes = {path.replace("__", "."): value for path, value in edits.items()}
    return attempt_manifest(parse_experiment(document(changes)), OWNER, ORDER)


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}


def test_a_pod_is_restricted_and_has_no_token() -> None:
    spec = manifest()["spec"]
    assert spec["automountServiceAccountToken"] is False and spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = spec["containers"][0]["securityContext"]
    assert security == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def mpijob(**launcher: Any) -> dict[str, Any]:
    """The templates of launcher and worker as they are created."""
    pod = {"containers": [{"name": "mpi", "image": "python"}]}
    roles = {"Launcher": {"template": {"spec": {**pod, **launcher}}}, "Worker": {"template": {"spec": pod}}}
    job = {"apiVersion": "kubeflow.org/v1", "kind": "MPIJob", "spec": {"mpiReplicaSpecs": roles}}
    made = attempt_manifest(parse_experiment(document({TRIAL: job})), OWNER, ORDER)["spec"]["mpiReplicaSpecs"]
    return {role: one["template"] for role, one in made.items()}


@pytest.mark.parametrize("said", [None, False, True])
def test_the_launcher_of_an_mpijob_has_a_token_only_if_its_template_says_so(said: bool | None) -> None:
    """By that it starts what runs in its workers; a trial gets none of its own accord."""
    made = mpijob(automountServiceAccountToken=said)
    mounted = [one["spec"]["automountServiceAccountToken"] for one in made.values()]
    assert mounted == [said is True, False]


def test_an_mpijobs_launcher_is_found_by_the_label_that_katibs_example_names() -> None:
    found = {role: one["metadata"]["labels"].get("mpi-job-role") for role, one in mpijob().items()}
    assert found == {"Launcher": "launcher", "Worker": None}


def test_what_the_template_says_wins() -> None:
    changed = attempt_manifest(
        parse_experiment(
            document(
                {
                    f"{TRIAL}.spec.securityContext": {"runAsNonRoot": False},
                    f"{TRIAL}.spec.containers[0].securityContext": {"allowPrivilegeEscalation": True},
                    f"{TRIAL}.metadata": {"labels": {"team": "a"}},
                }
            )
        ),
        OWNER,
        ORDER,
    )
    assert "runAsUser" not in changed["spec"]["securityContext"]
    assert changed["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is True
    assert changed["metadata"]["labels"]["team"] == "a"


def users(edits: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """User and non-root of the Pod, and of its container."""
    spec = attempt_manifest(parse_experiment(document(edits)), OWNER, ORDER)["spec"]
    both = (spec["securityContext"], spec["containers"][0]["securityContext"])
    user, non_root, own_user, own_non_root = (s.get(n) for s in both for n in ("runAsUser", "runAsNonRoot"))
    return user, non_root, own_user, own_non_root


POD_SECURITY = f"{TRIAL}.spec.securityContext"
CONTAINER_SECURITY = f"{TRIAL}.spec.containers[0].securityContext"


@pytest.mark.parametrize(
    ("edits", "found"),
    [
        ({}, (65532, True, None, None)),
        ({POD_SECURITY: None}, (65532, True, None, None)),
        ({POD_SECURITY: {"runAsUser": 1000}}, (1000, True, None, None)),
        ({POD_SECURITY: {"runAsUser": 0}}, (0, None, None, None)),
        ({POD_SECURITY: {"runAsUser": 0, "runAsNonRoot": False}}, (0, False, None, None)),
        ({CONTAINER_SECURITY: {"runAsUser": 0}}, (65532, True, 0, False)),
        ({CONTAINER_SECURITY: {"runAsUser": 1000}}, (65532, True, 1000, None)),
        ({POD_SECURITY: {"runAsUser": 0}, CONTAINER_SECURITY: {"runAsUser": 7}}, (0, None, 7, None)),
    ],
)
def test_a_user_that_the_template_names_is_one_that_a_kubelet_starts(edits: dict[str, Any], found: Any) -> None:
    assert users(edits) == found
    user, non_root, own, own_non_root = found
    effective = own_non_root if own_non_root is not None else non_root
    assert not (effective and (own if own is not None else user) == 0), "no kubelet starts that"


@pytest.mark.parametrize(
    ("edits", "home"),
    [
        ({}, "/kubetuna/home"),
        ({f"{TRIAL}.spec.containers[0].env": [{"name": "HOME", "value": "/mine"}]}, "/mine"),
        ({POD_SECURITY: {"runAsUser": 1000}}, None),
        ({CONTAINER_SECURITY: {"runAsUser": 1000}}, None),
        ({POD_SECURITY: {"runAsNonRoot": False}}, None),
        ({f"{TRIAL}.spec.volumes": None, f"{TRIAL}.spec.containers[0].volumeMounts": None}, "/kubetuna/home"),
    ],
)
def test_a_user_that_the_image_does_not_know_has_a_home_to_write_into(edits: dict[str, Any], home: Any) -> None:
    pod = attempt_manifest(parse_experiment(document(edits)), OWNER, ORDER)
    assert environment(pod).get("HOME") == home
    paths = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert ("/kubetuna/home" in paths) is (home == "/kubetuna/home")


def test_nodes_that_failed_the_trial_are_avoided_as_long_as_there_are_others() -> None:
    own = {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    field = "preferredDuringSchedulingIgnoredDuringExecution"
    for given in (
        {},
        {f"{TRIAL}.spec.affinity": None},
        {f"{TRIAL}.spec.affinity": {"nodeAffinity": {field: [own]}}},
    ):
        pod = attempt_manifest(parse_experiment(document(given)), OWNER, replace(ORDER, avoid=("bad-1", "bad-2")))
        *kept, ours = pod["spec"]["affinity"]["nodeAffinity"][field]
        assert kept == ([own] if "nodeAffinity" in str(given) else [])
        assert [(m["key"], m["operator"], m["values"]) for m in ours["preference"]["matchFields"]] == [
            ("metadata.name", "NotIn", ["bad-1"]),
            ("metadata.name", "NotIn", ["bad-2"]),
        ]
    assert "affinity" not in manifest()["spec"]


def test_our_labels_win_over_a_template_that_was_taken_before_they_were_refused() -> None:
    spec = parse_experiment(document({}))
    forged = {**spec.template.trial_spec, "metadata": {"labels": {"kubetuna.dev/trial": "7"}}}
    pod = attempt_manifest(replace(spec, template=replace(spec.template, trial_spec=forged)), OWNER, ORDER)
    assert pod["metadata"]["labels"]["kubetuna.dev/trial"] == "3", "ours are how we find it again"


def test_a_pod_belongs_to_its_experiment_and_says_which_attempt_it_is() -> None:
    metadata = manifest()["metadata"]
    assert metadata["name"] == "small-3-0-1" and metadata["ownerReferences"][0]["uid"] == "uid-1"
    assert metadata["labels"] == {
        "kubetuna.dev/experiment": "small",
        "kubetuna.dev/trial": "3",
        "kubetuna.dev/repeat": "0",
        "kubetuna.dev/attempt": "1",
    }
    assert metadata["annotations"]["kubetuna.dev/params-hash"] == "hash"


def test_the_two_folders_are_there_and_are_lost_with_the_pod_unless_a_volume_is_given() -> None:
    pod = manifest()
    assert environment(pod)["KUBETUNA_OUT"] == "/kubetuna/out"
    assert environment(pod)["KUBETUNA_CHECKPOINT_DIR"] == "/kubetuna/checkpoint"
    assert pod["spec"]["volumes"] == [{"name": "kubetuna-scratch", "emptyDir": {}}]
    claim = {"persistentVolumeClaim": {"claimName": "disk"}}
    pod = manifest(spec__checkpoint={"volume": claim, "mountPath": "/keep"})
    assert environment(pod)["KUBETUNA_CHECKPOINT_DIR"] == "/keep"
    mount = pod["spec"]["containers"][0]["volumeMounts"][1]
    assert mount == {"name": "kubetuna-checkpoint", "mountPath": "/keep", "subPath": "small/trial-3"}
    assert {"name": "kubetuna-checkpoint", **claim} in pod["spec"]["volumes"]


def test_what_would_delete_a_jobs_pod_with_its_log_is_left_out_of_it() -> None:
    """At its own deadline a Job deletes its Pod: that would read as a deletion by someone, and be free."""
    spec = {**JOB["spec"], "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0}  # type: ignore[dict-item]
    parsed = parse_experiment(document({TRIAL: {**JOB, "spec": spec}}))
    job = attempt_manifest(parsed, OWNER, ORDER)
    assert not {"activeDeadlineSeconds", "ttlSecondsAfterFinished"} & set(job["spec"])
    assert attempt_timeout(parsed) == 60.0
    for limit, least in ((30.0, 30.0), (90.0, 60.0)):
        assert attempt_timeout(replace(parsed, budget=replace(parsed.budget, trial_timeout=limit))) == least
    assert attempt_timeout(parse_experiment(document({}))) is None


def test_a_job_makes_the_same_pod_once() -> None:
    job = attempt_manifest(parse_experiment(document({TRIAL: JOB})), OWNER, ORDER)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"]["name"] == "small-3-0-1" and job["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert job["spec"]["backoffLimit"] == 0
    template = job["spec"]["template"]
    assert template["spec"]["restartPolicy"] == "Never"
    assert template["metadata"]["annotations"]["kubetuna.dev/experiment-uid"] == "uid-1"
    assert template["metadata"]["labels"]["kubetuna.dev/attempt"] == "1" and "name" not in template["metadata"]


_OF_CONTAINER = ("securityContext", "env", "volumeMounts", "resources", "args")
ODD_FIELDS = ["securityContext", "volumes", "initContainers", *(f"containers[0].{name}" for name in _OF_CONTAINER)]


@pytest.mark.parametrize("kind", ["Pod", "Job"])
@pytest.mark.parametrize("odd", [None, "odd", 7, True, [], {}, [None], ["odd"], {"odd": None}, [{"name": None}]])
@pytest.mark.parametrize("field", ODD_FIELDS)
def test_a_template_that_is_accepted_can_be_made_a_pod(field: str, odd: Any, kind: str) -> None:
    template = {TRIAL: JOB} if kind == "Job" else {}
    at = f"{TRIAL}.spec.template.spec" if kind == "Job" else f"{TRIAL}.spec"
    try:
        spec = parse_experiment(document({**template, f"{at}.{field}": odd}))
    except SpecError as refused:
        assert odd is not None and field.split(".")[-1] in str(refused)
    else:
        made = attempt_manifest(spec, OWNER, ORDER)
        assert made["metadata"]["name"] == "small-3-0-1"


TRAIN_JOB: dict[str, Any] = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "TrainJob",
    "metadata": {"labels": {"team": "a"}},
    "spec": {
        "runtimeRef": {"name": "torch-distributed"},
        "initializer": {"dataset": {"storageUri": "hf://data"}},
        "trainer": {"numNodes": 2, "env": [{"name": "MODE", "value": "fast"}]},
        "runtimePatches": [{"manager": "example.org/team"}, {"manager": "kubetuna.dev/operator"}],
    },
}


def test_a_train_job_patches_its_runtime_by_what_its_pods_are_found_by_and_no_more() -> None:
    made = manifest(**{TRIAL.replace(".", "__"): TRAIN_JOB})
    other, patch = made["spec"]["runtimePatches"]
    assert (other["manager"], patch["manager"]) == ("example.org/team", "kubetuna.dev/operator")
    node, data = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pods = [one["template"]["spec"]["template"] for one in (node, data)]
    assert (node["name"], data["name"]) == ("node", "dataset-initializer")
    labels = [pod["metadata"]["labels"] for pod in pods]
    assert all(found["kubetuna.dev/trial"] == "3" and "team" not in found for found in labels)
    assert [LABEL_PRIMARY in found for found in labels] == [True, False]
    assert all(pod["metadata"]["annotations"][ANNOTATION_PARAMS] == "hash" for pod in pods)
    assert pods[0]["spec"].keys() == {"volumes", "containers"} and "spec" not in pods[1]
    (container,) = pods[0]["spec"]["containers"]
    mounted = [m["name"] for m in container["volumeMounts"]]
    assert container["name"] == "node" and sorted({*mounted}) == sorted(mounted), "the CRD's list is keyed by name"
    assert mounted == [v["name"] for v in pods[0]["spec"]["volumes"]]
    variables = {e["name"]: e.get("value") for e in made["spec"]["trainer"]["env"]}
    assert variables["KUBETUNA_TRIAL"] == "3" and variables["MODE"] == "fast" and "HOME" not in variables
    assert made["metadata"]["name"] == ORDER.name and made["metadata"]["labels"]["team"] == "a"
