"""Every small example runs as its first lines say, and shows what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetuna.parsing.parse import parse_file_text
from kubetuna.parsing.yaml_text import load_documents
from kubetuna_trial.task2.cli import _parser
from kubetuna_trial.task2.parameters import CHOICES, NUMBERS, READING
from tests.local.runs import Runner

EXAMPLES = Path(__file__).parents[2] / "examples"
CRDS = EXAMPLES.parent / "helm" / "kubetuna" / "crds-source"


@pytest.fixture
def small(tmp_path: Path) -> Runner:
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def test_every_example_says_what_it_shows_and_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text() + (EXAMPLES.parent / "docs" / "index.md").read_text()
    for path in (p for p in EXAMPLES.iterdir() if p.suffix in (".yaml", ".py")):
        assert path.read_text().startswith(("# ", '"""')), path.name
        assert listed.count(path.name) >= 2, path.name


def test_a_real_model_in_a_cluster_is_a_valid_experiment_with_its_volumes_and_its_secret() -> None:
    text = (EXAMPLES / "cluster-llm.yaml").read_text()
    (document,), spec = load_documents(text), parse_file_text(text)
    schema = yaml.safe_load((CRDS / "experiments.yaml").read_text())["spec"]["versions"][0]["schema"]
    assert list(unknown(document, schema["openAPIV3Schema"])) == []
    wrong = load_documents(text.replace("trialTimeout: 4h", "trialTimeOut: 4h"))[0]
    assert list(unknown(wrong, schema["openAPIV3Schema"])) == [".spec.budget.trialTimeOut: is unknown"]
    claims = {
        d["metadata"]["name"] for d in yaml.safe_load_all((EXAMPLES / "cluster-llm-volumes.yaml").read_text())
    }
    pod = document["spec"]["trialTemplate"]["trialSpec"]["spec"]
    mounted = {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]}
    assert mounted | {spec.checkpoint["volume"]["persistentVolumeClaim"]["claimName"]} == claims
    secret = next(v for v in pod["containers"][0]["env"] if v["name"] == "HF_TOKEN")
    assert secret["valueFrom"]["secretKeyRef"]["name"] == "hf-token" and "hf-token" in text.splitlines()[3]
    options = _parser().parse_args(pod["containers"][0]["args"])
    assert options.quantization == "bitsandbytes" and options.chat == "auto"
    known = {*NUMBERS, *READING, *CHOICES}
    assert {p.name for p in spec.parameters} <= known


def unknown(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Where a document says what a schema has no place for."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    kind = schema.get("type")
    if kind and not isinstance(value, kinds[kind]):
        yield f"{path}: {value!r} is no {kind}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    elif isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if known is None and path:
                yield f"{path}.{name}: is unknown"
            yield from unknown(inner, known or {"x-kubernetes-preserve-unknown-fields": True}, f"{path}.{name}")
        yield from (f"{path}.{name}: is missing" for name in schema.get("required", ()) if name not in value)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from unknown(inner, schema.get("items", {}), f"{path}[{index}]")


def test_several_objectives_have_a_front(small: Runner) -> None:
    small.call("run", str(EXAMPLES / "objectives.yaml"), "--set", "maxTrialCount=6")
    front = json.loads(small.call("best", "objectives", "--json"))
    points = sorted(one["values"] for one in front)
    assert points and all(terms > later for (_, terms), (_, later) in pairwise(points))


def test_conditional_parameters_exist_only_where_their_condition_holds(small: Runner) -> None:
    small.call("run", str(EXAMPLES / "conditional.yaml"), "--set", "maxTrialCount=6")
    trials = small.trials("conditional")
    assert {t["params"]["optimizer"] for t in trials} == {"sgd", "adam"}
    for params in (t["params"] for t in trials):
        own = {"sgd": "momentum", "adam": "beta2"}[params["optimizer"]]
        assert params.keys() == {"optimizer", "rate", own}
        assert params["optimizer"] == "adam" or params["rate"] <= 0.5


def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_end(small: Runner) -> None:
    text = (EXAMPLES / "checkpoint.yaml").read_text()
    report = '    print(json.dumps({"step": epoch, "loss": whole}))\n'
    kill = "if epoch == 5 and not done: os.kill(os.getpid(), 9)"
    line = next(one for one in text.splitlines(keepends=True) if one.endswith(report))
    killed = text.replace(line, line + line[: len(line) - len(line.lstrip())] + kill + "\n")
    assert killed != text
    for name, document in (("killed", killed), ("whole", text)):
        named = document.replace("metadata: {name: checkpoint}", f"metadata: {{name: {name}}}")
        small.run(named, "--set", "maxTrialCount=1", "--set", "parallelTrialCount=1")
    (again,), (once,) = small.trials("killed"), small.trials("whole")
    assert [a["outcome"] for a in again["attempts"]] == ["Killed", "Succeeded"] and len(once["attempts"]) == 1
    assert again["steps"] == once["steps"] and len(once["steps"]) == 10, "to the last digit"


def test_a_job_runs_locally(small: Runner) -> None:
    path = EXAMPLES / "job.yaml"
    assert parse_file_text(path.read_text()).template.kind == "Job"
    small.call("run", str(path), "--set", "maxTrialCount=3")
    assert all(t["values"][0] > 0.3 for t in small.trials("job"))


def test_a_function_is_tuned(small: Runner) -> None:
    told = subprocess.check_output(
        [sys.executable, EXAMPLES / "function.py"],
        cwd=small.folder,
        env=os.environ | {"KUBETUNA_STORE": small.store},
    ).decode()
    assert "<StudyRecord descend: Succeeded, 12 trials, best: loss = " in told
    assert "<html" in (small.folder / "descend.html").read_text()
