"""A kind of template is one adapter: a further one works everywhere without a change of anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetuna.errors import SpecError
from kubetuna.experiment.kinds import JOB, KINDS
from kubetuna.experiment.kinds.template_kind import Fault, TemplateKind, is_true
from kubetuna.experiment.resources import pod_spec
from kubetuna.local.command import command_of
from kubetuna.parsing.parse import parse_experiment
from kubetuna_operator.context import ExperimentRef
from kubetuna_operator.workloads.executor import PodExecutor
from tests.apiserver import resources
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.operating import Process
from tests.apiserver.resources import PODS, Object, Resource, Target
from tests.fakes import look
from tests.spec_table import ABSENT, TRIAL, document
from tests.unit.operator.test_pod_executor import KEY, NAME, order

PROJECT = Path(__file__).parents[3]
TEAMS = Resource("example.com", "v1", "teams", "Team", status=True)
MEMBER = f"{TRIAL}.spec.groups[0].member"


def _check(spec: Mapping[str, Any]) -> Iterator[Fault]:
    if len(spec.get("groups") or ()) > 1:
        yield "groups[1]", "Forbidden: a trial is one Pod"


@pytest.fixture(autouse=True)
def team(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that nothing else knows, with its Pod's template deep inside; and an API server that has it."""
    kind = TemplateKind(
        name="Team",
        api_version="example.com/v1",
        plural="teams",
        pod_template=("spec", "groups", 0, "member"),
        fields=("groups", "restarts"),
        fixed={"restarts": 0},
        check=_check,
        success=is_true("Good"),
        failure=is_true("Done"),
    )
    monkeypatch.setitem(KINDS, "Team", kind)
    monkeypatch.setitem(resources._BY_PATH, ("example.com", "v1", "teams"), TEAMS)
    monkeypatch.setitem(resources.BY_KIND, ("example.com/v1", "Team"), TEAMS)


def written(**edits: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "trial", "image": "python", "command": ["train"]}]}
    trial = {"apiVersion": "example.com/v1", "kind": "Team", "spec": {"groups": [{"member": {"spec": pod}}]}}
    return document({TRIAL: trial, **edits})


@pytest.mark.parametrize(
    ("edits", "path"),
    [
        ({f"{TRIAL}.apiVersion": "v1"}, f"{TRIAL}.apiVersion"),
        ({f"{TRIAL}.spec.restarts": 3}, f"{TRIAL}.spec.restarts"),
        ({f"{TRIAL}.spec.restart": 0}, f"{TRIAL}.spec.restart"),
        ({f"{TRIAL}.spec.groups": [{"member": {"spec": {"containers": [{"name": "a"}]}}}, {}]},
         f"{TRIAL}.spec.groups[1]"),
        ({f"{MEMBER}.spec.containers": ABSENT}, f"{MEMBER}.spec.containers"),
        ({f"{MEMBER}.spec.containers[0].comand": ["x"]}, f"{MEMBER}.spec.containers[0].comand"),
        ({f"{MEMBER}.metadata": {"labels": {"kubetuna.dev/trial": "1"}}},
         f"{MEMBER}.metadata.labels.kubetuna.dev/trial"),
        ({f"{TRIAL}.spec.groups": []}, f"{MEMBER}.spec.containers"),
    ],
)  # fmt: skip
def test_a_further_kind_is_checked_at_its_own_paths(edits: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_experiment(written(**edits))
    assert [problem.path for problem in caught.value.problems] == [path]


def test_a_further_kind_runs_here_by_its_pods_template() -> None:
    spec = parse_experiment(written())
    assert pod_spec(spec.template.trial_spec)["containers"][0]["image"] == "python"
    assert command_of(spec.template.trial_spec, "trial", {}).argv == ("train",)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Cluster, PodExecutor]]:
    made = Cluster()
    process = Process(made, f"sqlite:///{tmp_path}/study.db")
    process.watch_pods()
    ref = ExperimentRef(made.make_owner(written()), 1)
    yield made, PodExecutor(process.context, parse_experiment(written()), ref)
    process.close()


def test_a_further_kind_is_created_its_pod_counts_and_it_goes_with_it(cluster: tuple[Cluster, PodExecutor]) -> None:
    world, place = cluster
    place.launch(order())
    (team,) = world.server.objects.of(TEAMS)
    assert (team["metadata"]["name"], team["spec"]["restarts"]) == (NAME, 0)
    assert [f.phase for f in place.observe()] == ["pending"]
    name = make_pod(world, team)
    world.kubelet.schedule(name)
    world.kubelet.start(name)
    world.kubelet.exit(name, 0)
    (facts,) = world.until(lambda: [f for f in place.observe() if f.phase == "ended"])
    assert facts.key == KEY and facts.exit is not None and facts.exit.by_itself
    place.delete(KEY)
    world.until(lambda: not world.server.objects.of(TEAMS) and not world.kubelet.pods())


def test_a_further_kind_that_ended_without_a_pod_is_made_again(cluster: tuple[Cluster, PodExecutor]) -> None:
    world, place = cluster
    place.launch(order())
    (team,) = world.server.objects.of(TEAMS)
    done = {"conditions": [{"type": "Done", "status": "True"}]}
    world.server.change(team, lambda t: t.update(status=done), TEAMS)
    for _ in range(2):
        world.clock.time += 6
        (facts,) = look(place)
        assert facts.phase == "pending"
    assert world.server.objects.of(TEAMS)[0]["metadata"]["uid"] != team["metadata"]["uid"]


def make_pod(world: Cluster, team: Object) -> str:
    """As the controller of such objects does."""
    template, metadata = team["spec"]["groups"][0]["member"], team["metadata"]
    owner = {"apiVersion": "example.com/v1", "kind": "Team", "name": metadata["name"], "uid": metadata["uid"]}
    pod = {**template, "metadata": {**template["metadata"], "name": "member", "ownerReferences": [owner]}}
    return str(world.server.writes.create(Target(PODS, NAMESPACE), pod, {})["metadata"]["name"])


@pytest.mark.parametrize("way", ["cluster", "namespaced"])
def test_the_operator_may_make_and_delete_what_a_template_may_be(way: str) -> None:
    text = (PROJECT / "manifests" / "rbac" / way / "objects.yaml").read_text()
    rules = [rule for obj in yaml.safe_load_all(text) if obj for rule in obj.get("rules") or ()]
    for kind in (kind for kind in KINDS.values() if not kind.judged and kind.name != "Team"):
        group = kind.api_version.rpartition("/")[0]
        verbs = {v for r in rules if kind.plural in r["resources"] and group in r["apiGroups"] for v in r["verbs"]}
        assert {"get", "create", "delete"} <= verbs, kind.name


def test_no_module_but_its_adapter_names_a_kind_that_makes_pods() -> None:
    folders = (PROJECT / "core" / "kubetuna", PROJECT / "operator" / "kubetuna_operator")
    files = [file for folder in folders for file in folder.rglob("*.py")]
    words = [f'"{word}"' for word in (JOB.name, JOB.plural, JOB.api_version)]
    found = sorted(file.name for file in files if any(word in file.read_text() for word in words))
    assert found == ["job.py", "workloads.py"]
