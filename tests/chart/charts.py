"""helm and kubectl for the tests of the chart, and what they render."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from hack.cluster.layout import find_layout

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "helm" / "kubetuna"
OWN_DATABASE = ("--set", "database.existingSecret=db")
DEMO = ("--set", "postgres.enabled=true")
Object = dict[str, Any]


def program(name: str) -> str:
    """The program of `make cluster`, or the one on the PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(find_layout().commands), os.environ["PATH"]]))
    assert found, f"the chart's tests need {name}: make cluster builds it"
    return found


def call(name: str, *words: str, code: int = 0, stdin: str = "", kubeconfig: Path | None = None) -> str:
    """Run a program, which must leave with 0, or with another code where one is given; what it printed."""
    done = subprocess.run(
        [program(name), *words],
        env={**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})},
        cwd=PROJECT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert (done.returncode != 0) == bool(code), done.stdout + done.stderr
    return done.stdout + done.stderr if code else done.stdout


def helm(*words: str, code: int = 0) -> str:
    return call("helm", *words, code=code)


def rendered(*words: str, database: tuple[str, ...] = OWN_DATABASE) -> list[Object]:
    """What helm would install."""
    return documents(helm("template", "x", str(CHART), "-n", "kubetuna", *database, *words))


def documents(text: str) -> list[Object]:
    return [o for o in yaml.safe_load_all(text) if o]


def pod_specs(objects: list[Object]) -> dict[str, Any]:
    """The Pods among the objects, and those that they would make, by kind and name."""
    found = {}
    for obj in objects:
        template = obj if obj["kind"] == "Pod" else obj.get("spec", {}).get("template")
        if template and "containers" in template["spec"]:
            found[f"{obj['kind']}/{obj['metadata']['name']}"] = template["spec"]
    return found
