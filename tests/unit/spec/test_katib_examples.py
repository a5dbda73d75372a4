"""Katib's files: shapes of our own, and those of a checkout of its examples where ``KATIB_EXAMPLES`` names one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import optuna
import pytest

from kubetuna.errors import SpecError
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.shape import KATIB
from kubetuna.parsing.yaml_text import load_documents
from kubetuna.search.samplers import Proposer
from kubetuna.terminal.preview import preview, preview_text

OWN = Path(__file__).parents[2] / "corpus" / "katib"
# What a file of Katib's may be refused for, by the field; some have a fault of their own beside it.
UNSUPPORTED = (
    "spec.nasConfig",
    "spec.parameters",
    "spec.algorithm.algorithmName",
    "spec.metricsCollectorSpec.collector.kind",
    "spec.metricsCollectorSpec.source.fileSystemPath",
    "spec.trialTemplate.configMap",
    "spec.trialTemplate.trialSpec",
    "spec.trialTemplate.trialSpec.kind",
    "spec.trialTemplate.trialSpec.spec",
)


def examples() -> list[Path]:
    """Every file with an Experiment below the folder that the variable names; none where it is not set."""
    root = os.environ.get("KATIB_EXAMPLES")
    files = sorted(Path(root).rglob("*.yaml")) if root else []
    return [file for file in files if f"apiVersion: {KATIB}\nkind: Experiment" in file.read_text()]


def told(document: Any) -> list[str]:
    """The paths of all problems."""
    try:
        spec = parse_experiment(document)
    except SpecError as error:
        paths = {problem.path for problem in error.problems}
        # What refers to the parameters that architecture search would make is wrong for that reason alone.
        follows = "spec.trialTemplate.trialParameters" if "spec.nasConfig" in paths else "-"
        return sorted(path for path in paths if not path.startswith(follows))
    assert preview_text(preview(spec)).endswith("Nothing was started.")
    return []


FILES = [*sorted(OWN.glob("*.yaml")), *examples()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_of_katibs_is_accepted_or_refused_for_what_is_not_supported(file: Path) -> None:
    text = file.read_text()
    for document in load_documents(text):
        paths = told(document)
        if file.parent == OWN:
            said, _, expected = text.partition("\n")[0].removeprefix("# ").partition(": ")
            assert (said, paths) == ("refused" if paths else "accepted", sorted(expected.split()))
        else:
            assert not paths or {*paths} & {*UNSUPPORTED}, paths


def read(name: str) -> Any:
    (document,) = load_documents((OWN / f"{name}.yaml").read_text())
    return document


def test_hyperband_fixes_its_resource_and_prunes_by_steps() -> None:
    spec = parse_experiment(read("hyperband"))
    assert (spec.algorithm.name, spec.pruner and spec.pruner.name) == ("random", "hyperband")
    assert spec.pruner is not None
    assert dict(spec.pruner.settings) == {"min_resource": 1, "max_resource": 8, "reduction_factor": 2}
    epochs = next(p for p in spec.parameters if p.name == "epochs")
    assert (epochs.low, epochs.high) == (8, 8)
    assert any("every trial gets epochs=8" in warning for warning in spec.warnings)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "spec.algorithm.algorithmSettings"),
        ({"r_l": "8"}, "spec.algorithm.algorithmSettings"),
        ({"r_l": "8", "resource_name": "nothing"}, "spec.algorithm.algorithmSettings[1].value"),
        ({"r_l": "0", "resource_name": "epochs"}, "spec.algorithm.algorithmSettings[0].value"),
        ({"r_l": "2.5", "resource_name": "epochs"}, "spec.algorithm.algorithmSettings[0].value"),
        ({"r_l": "8", "resource_name": "epochs", "eta": "1"}, "spec.algorithm.algorithmSettings[2].value"),
        ({"r_l": "8", "resource_name": "epochs", "etta": "3"}, "spec.algorithm.algorithmSettings[2].name"),
        ({"r_l": True, "resource_name": "epochs"}, "spec.algorithm.algorithmSettings[0].value"),
    ],
)
def test_hyperband_is_refused_where_its_settings_say_nothing(settings: dict[str, Any], path: str) -> None:
    document = read("hyperband")
    items = [{"name": name, "value": value} for name, value in settings.items()]
    document["spec"]["algorithm"]["algorithmSettings"] = items
    assert told(document) == [path]


def test_hyperband_beside_another_pruner_is_refused() -> None:
    document = read("hyperband")
    document["spec"]["earlyStopping"] = {"algorithmName": "median"}
    assert told(document) == ["spec.earlyStopping"]


def test_a_resource_that_is_listed_or_a_double_is_fixed_in_its_own_kind() -> None:
    for kind, space, fixed in (
        ("discrete", {"list": ["1", "2"]}, (8,)),
        ("double", {"min": "1", "max": "2"}, ()),
    ):
        document = read("hyperband")
        document["spec"]["parameters"][2] |= {"parameterType": kind, "feasibleSpace": space}
        epochs = parse_experiment(document).parameters[2]
        assert epochs.choices == fixed and (fixed or epochs.low == epochs.high == 8.0)


def drawn(algorithm: str, trials: int = 300) -> list[dict[str, Any]]:
    """Points that an experiment over normal distributions proposes."""
    document = read("distributions")
    document["spec"] |= {"algorithm": {"algorithmName": algorithm}, "maxTrialCount": trials}
    document["spec"]["parameters"].append(
        {
            "name": "x",
            "parameterType": "double",
            "feasibleSpace": {"min": "1", "max": "10000", "distribution": "logNormal"},
        }
    )
    document["spec"]["trialTemplate"]["trialParameters"] = []
    spec = parse_experiment(without_placeholders(document))
    study = optuna.create_study()
    proposer = Proposer(spec, seed=1)
    return [proposer.propose(study, frozen(study), number) for number in range(trials)]


def without_placeholders(document: Any) -> Any:
    container = document["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["train"]
    return document


def frozen(study: optuna.Study) -> optuna.trial.FrozenTrial:
    study.ask()
    return study.trials[-1]


def test_random_draws_of_a_normal_distribution_gather_in_the_middle_and_stay_inside() -> None:
    points = drawn("random")
    assert {p["lr"] for p in points} == {0.01, 0.02, 0.03, 0.04, 0.05}
    assert sum(p["lr"] == 0.03 for p in points) > 4 * sum(p["lr"] == 0.01 for p in points) > 0
    assert all(type(p["momentum"]) is int and 32 <= p["momentum"] <= 64 for p in points)
    # Of six deviations the middle two hold two thirds; of a range they would hold one.
    middle = sum(10 ** (4 / 3) <= p["x"] <= 10 ** (8 / 3) for p in points)
    assert 0.6 < middle / len(points) < 0.76 and all(1 <= p["x"] <= 10_000 for p in points)


def test_other_samplers_take_the_range_and_the_plan_says_so() -> None:
    document = read("distributions")
    assert not any("takes the range" in warning for warning in parse_experiment(document).warnings)
    document["spec"]["algorithm"] = {"algorithmName": "tpe"}
    warnings = parse_experiment(document).warnings
    assert "parameter 'momentum': tpe takes the range of its distribution logNormal" in "\n".join(warnings)
    assert "(log normal)" in preview_text(preview(parse_experiment(document)))
    middle = sum(10 ** (4 / 3) <= p["x"] <= 10 ** (8 / 3) for p in drawn("qmc", 120))
    assert middle / 120 < 0.4
