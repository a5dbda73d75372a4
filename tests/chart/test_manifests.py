"""The manifests install what the chart installs, and the script for kind does what its documentation says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.charts import CHART, PROJECT, Object, call, documents, helm, program

MANIFESTS = PROJECT / "manifests"
CLUSTER_WIDE = {
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


@pytest.mark.cluster
@pytest.mark.parametrize("overlay", ["kind", "namespaced", "prod"])
def test_an_overlay_and_the_chart_install_the_same(overlay: str) -> None:
    values = CHART / "ci" / f"{overlay}-values.yaml"
    text = helm("template", "kubetuna", str(CHART), "-n", "kubetuna", "--values", str(values))
    crds = ("CustomResourceDefinition",) if overlay == "namespaced" else ()
    charted = {_name(o): _plain(o) for o in documents(text) if not _only_helms(o) and o["kind"] not in crds}
    built = documents(call("kubectl", "kustomize", str(MANIFESTS / "overlays" / overlay)))
    kustomized = {_name(o): _plain(o) for o in built if not _only_kustomizes(o)}
    assert kustomized.keys() == charted.keys()
    assert kustomized == charted


def _name(obj: Object) -> tuple[str, str]:
    return obj["kind"], obj["metadata"]["name"]


def _only_helms(obj: Object) -> bool:
    """Its tests, and the Secret whose passwords it draws."""
    return "helm.sh/hook" in (obj["metadata"].get("annotations") or {}) or obj["kind"] == "Secret"


def _only_kustomizes(obj: Object) -> bool:
    """The namespace, and the Job that draws those passwords in helm's place."""
    return obj["kind"] == "Namespace" or "kubetuna-secret-maker" in obj["metadata"]["name"]


def _plain(obj: Object) -> Object:
    """The object without the marks of who installs it."""
    if obj["kind"] not in CLUSTER_WIDE:
        obj["metadata"].setdefault("namespace", "kubetuna")
    for metadata in (obj["metadata"], obj.get("spec", {}).get("template", {}).get("metadata", {})):
        metadata.get("labels", {}).pop("app.kubernetes.io/managed-by", None)
        notes = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if not k.startswith("helm.sh/")}
        metadata |= {"annotations": notes} if notes else {}
    for container in obj.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        # kustomize moves a patched entry to the front; no entry refers to another.
        container.get("env", []).sort(key=lambda entry: str(entry["name"]))
    return obj


@pytest.mark.cluster
def test_the_bases_are_what_the_chart_renders_now(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(program("helm")).parent), os.environ["PATH"]])
    subprocess.run(
        [sys.executable, str(MANIFESTS / "render.py"), str(tmp_path)], check=True, env={**os.environ, "PATH": path}
    )
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.yaml"))
    assert len(made) == 7
    for name in made:
        assert (MANIFESTS / name).read_text() == (tmp_path / name).read_text(), f"{name}: run make manifests"


FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""


def test_the_script_for_kind_builds_loads_and_applies(tmp_path: Path) -> None:
    """Docker is not at hand here: the programs are stand-ins that write down what they were asked."""
    for name in ("docker", "kind", "kubectl"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "CALLS": str(calls)}
    done = subprocess.run(
        [str(PROJECT / "hack" / "cluster" / "kind.sh")], env=environment, capture_output=True, text=True, check=True
    )
    said = calls.read_text().splitlines()
    asked = [
        "kind create cluster --name kubetuna",
        "docker build --quiet --target operator --tag kubetuna-operator:0.1.0 .",
        "kind load docker-image --name kubetuna kubetuna-trial:0.1.0",
        "kubectl --context kind-kubetuna apply -k manifests/overlays/kind",
    ]
    assert [line for line in said if line in asked] == asked
    assert "kubectl apply -f examples/experiment-task1.yaml" in done.stdout


def test_the_script_for_kind_says_what_is_missing(tmp_path: Path) -> None:
    for name in ("bash", "sed", "dirname", "env"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        [str(PROJECT / "hack" / "cluster" / "kind.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "make kind needs docker on the PATH\n")
