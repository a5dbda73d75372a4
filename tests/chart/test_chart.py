"""The chart: one source of CRDs, refusals before anything is installed, least privilege, and a real install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetuna_operator.transport import Api, collection
from tests.cluster.conftest import Cluster, cluster, namespace  # noqa: F401
from tests.cluster.operators import World

CHART = Path(__file__).parents[2] / "helm" / "kubetuna"
CRDS = Path(__file__).parents[2] / "manifests" / "crd"
DATABASE = ("--set", "database.existingSecret=db")


def test_the_chart_carries_the_crds_of_the_manifests() -> None:
    names = sorted(path.name for path in CRDS.glob("*.yaml"))
    assert names == sorted(path.name for path in (CHART / "crds-source").glob("*.yaml"))
    for name in names:
        assert (CRDS / name).read_bytes() == (CHART / "crds-source" / name).read_bytes()


def helm(*words: str, code: int = 0, **environment: str) -> str:
    """Run helm, which must leave with this exit code; what it printed."""
    found = shutil.which("helm", path=os.pathsep.join([".cluster/bin", os.environ["PATH"]]))
    assert found, "the chart's tests need helm: make cluster builds it"
    done = subprocess.run(
        [found, *words], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=180
    )
    assert (done.returncode != 0) == bool(code), done.stdout + done.stderr
    return done.stdout + done.stderr


def rendered(*words: str) -> list[dict[str, Any]]:
    return [o for o in yaml.safe_load_all(helm("template", "x", str(CHART), *DATABASE, *words)) if o]


@pytest.mark.cluster
def test_it_passes_helms_own_checks_and_refuses_what_it_does_not_know() -> None:
    helm("lint", "--strict", str(CHART), *DATABASE)
    assert "database.existingSecret is needed" in helm("template", "x", str(CHART), code=1)
    assert "replica" in helm("template", "x", str(CHART), *DATABASE, "--set", "replica=2", code=1)
    assert "replicas" in helm("template", "x", str(CHART), *DATABASE, "--set", "replicas=0", code=1)


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("words", "kinds"),
    [((), {"Role"}), (("--set", "watchNamespaces={a,b}"), {"Role"}), (("--set", "watchAll=true"), {"ClusterRole"})],
)
def test_the_operator_may_do_no_more_than_it_does(words: tuple[str, ...], kinds: set[str]) -> None:
    roles = [
        o for o in rendered(*words) if o["kind"] in ("Role", "ClusterRole") and "user" not in str(o["metadata"])
    ]
    own = [o for o in roles if "aggregate" not in str(o["metadata"].get("labels"))]
    assert {o["kind"] for o in own if "lease" not in o["metadata"]["name"]} == kinds
    for rule in (rule for role in own for rule in role["rules"]):
        assert not {"secrets", "pods/exec", "configmaps", "*"} & {
            *rule["resources"],
            *rule["verbs"],
            *rule["apiGroups"],
        }


@pytest.fixture
def world(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[World]:  # noqa: F811
    made = World(cluster, namespace, f"sqlite:///{tmp_path}/unused.db", tmp_path)
    yield made
    made.close()


@pytest.mark.cluster
def test_an_installed_operator_runs_an_experiment_with_its_own_account(world: World) -> None:
    """The operator in the cluster, restricted, with the rights that the chart gives it and no others."""
    environment = {"KUBECONFIG": str(world.cluster.kubeconfig)}
    space = world.namespace
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    world.api.merge(f"/api/v1/namespaces/{space}", label)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}}
    world.api.create(collection("secrets", space), {**secret, "stringData": {"url": "sqlite:////tmp/study.db"}})
    flags = ("--set", f"crds.enabled={str(not _crds(world.api)).lower()}", "--wait", "--timeout", "90s")
    helm("install", "x", str(CHART), "-n", space, *DATABASE, *flags, **environment)
    world.apply("print('loss=1')", maxTrialCount=3)
    assert world.ended()["trialsSucceeded"] == 3
    lease = world.api.get(f"{collection('leases', space)}/kubetuna-operator")
    assert lease["spec"]["holderIdentity"].startswith("kubetuna-operator-")
    world.api.delete(f"{world.path}/small")
    world.until("it is gone", lambda: not world.exists())
    helm("uninstall", "x", "-n", space, "--wait", **environment)
    assert _crds(world.api) == 2, "what people made must survive the operator"


def _crds(api: Api) -> int:
    found = api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    return sum(1 for crd in found if crd["spec"]["group"] == "kubetuna.dev")


def test_the_values_schema_knows_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert values.keys() <= schema["properties"].keys()
