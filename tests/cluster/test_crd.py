"""The CRD on a real API server: what it takes, what it refuses and where, and what is left to the parser."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetuna.experiment.field_errors import IMMUTABLE
from kubetuna_operator.kube.api_client import Refused, collection
from tests.cluster.operators import World
from tests.spec_table import ABSENT, BAD, EDITS, GOOD, OBJECTIVE, SEVERAL, TRIAL, document

pytestmark = pytest.mark.cluster


def paths(error: Refused) -> set[str]:
    """The fields that a refusal names; "<nil>" only says that some rules were left unchecked meanwhile."""
    return {*error.fields, *re.findall('unknown field "([^"]+)"', error.message)} - {"<nil>"}


def try_it(world: World, found: dict[str, Any]) -> None:
    """As ``kubectl apply --dry-run=server`` does."""
    world.api.create(world.path, found, dryRun="All", fieldValidation="Strict")


def test_the_api_server_takes_the_good_ones(world: World) -> None:
    for edits in GOOD.values():
        try_it(world, document(edits))


def test_the_api_server_takes_every_example(world: World) -> None:
    """Those too that no test can carry out, since they need a GPU and a real model."""
    files = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
    documents = [d for file in files for d in yaml.safe_load_all(file.read_text())]
    kinds = {
        "Experiment": world.path,
        "PersistentVolumeClaim": collection("persistentvolumeclaims", world.namespace),
    }
    assert {d["kind"] for d in documents} == kinds.keys()
    for found in documents:
        world.api.create(kinds[found["kind"]], found, dryRun="All", fieldValidation="Strict")


def test_the_api_server_refuses_the_bad_ones_at_the_parsers_path(world: World) -> None:
    wrong = {}
    for case, bad in BAD.items():
        try:
            try_it(world, document(bad.edits))
            told = None
        except Refused as error:
            told = paths(error)
        if told != ({bad.path} if bad.server else None):
            wrong[case] = told
    assert not wrong


def test_what_only_the_parser_sees_ends_as_not_accepted_with_its_path(world: World) -> None:
    world.operator()
    cases = {f"bad-{i}": bad for i, bad in enumerate(b for b in BAD.values() if not b.server)}
    for name, bad in cases.items():
        world.put(document(bad.edits, name))
    for name, bad in cases.items():
        world.until(f"the refusal of {bad.path}", lambda name=name: world.condition("Accepted", name))
        condition = world.condition("Accepted", name)
        assert condition["status"] == "False" and condition["message"].startswith(f"{bad.path}: ")
    assert not world.pods()


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_is_taken_or_refused_at_its_path(world: World, case: str) -> None:
    edit = EDITS[case]
    world.put(document(edit.before))
    if not edit.server:
        world.put(document({**edit.before, **edit.after}))
        return
    with pytest.raises(Refused, match=IMMUTABLE) as caught:
        world.put(document({**edit.before, **edit.after}))
    assert paths(caught.value) == {edit.server}


def test_of_several_objectives_only_the_goals_may_be_edited(world: World) -> None:
    several = {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL}
    world.put(document(several))
    world.put(document({**several, "spec.objectives[0].goal": 0.1}))
    with pytest.raises(Refused, match=IMMUTABLE) as caught:
        world.put(document({**several, "spec.objectives[0].metric": "other"}))
    assert paths(caught.value) == {"spec.objectives"}


def test_kubectl_explains_lists_and_refuses(world: World) -> None:
    kubectl = [world.cluster.kubectl, "--kubeconfig", str(world.cluster.kubeconfig), "-n", world.namespace]

    def call(*words: str, code: int = 0) -> str:
        done = subprocess.run([*kubectl, *words], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "search space" in call("explain", "experiments.spec.parameters", "--api-version=kubetuna.dev/v1alpha1")
    world.put(document({}))
    columns = "NAME STATE TRIALS RUNNING QUEUED BEST BEST-TRIAL SPENT AGE"
    assert call("get", "experiments.kubetuna.dev").split("\n")[0].split() == columns.split()
    assert "small" in call("get", "kexp") and "small" in call("get", "kubetuna")
    file = world.logs / "bad.json"
    file.write_text(json.dumps(document({f"{TRIAL}.kind": "Deployment"}, "bad")))
    assert f"{TRIAL}.kind" in call("apply", "-f", str(file), code=1)
