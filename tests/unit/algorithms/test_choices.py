"""A choice may be anything that JSON has: samplers, stores, tables and pages take it, and values stay apart."""

from __future__ import annotations

import json
from typing import Any

import optuna
import pytest

from kubetuna.analysis.report.page import render_report
from kubetuna.analysis.report.view import view_of
from kubetuna.errors import SpecError
from kubetuna.experiment.expressions import parse_expression
from kubetuna.local.runner import look_by_name
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.space import restored, stored
from kubetuna.terminal.preview import preview, preview_text
from kubetuna.terminal.tables import best_text
from kubetuna.trials.attempts import AttemptRequest
from kubetuna.trials.environment import short
from tests.fakes import Run
from tests.local.runs import experiment
from tests.unit.algorithms.test_search import algorithm, run

CHOICES: list[Any] = ["json:[128]", None, "null", [64, 64], [128], {"b": [1, {"a": None}]}, "[128]", 5, "5", [], {}]
ALIKE: list[Any] = [True, "true", False, "false", None, "null", '"null"', "", " ", "a", "a ", "no", "1.5"]


def space(choices: list[Any]) -> list[dict[str, Any]]:
    return [
        {"name": "c", "parameterType": "categorical", "feasibleSpace": {"list": choices}},
        {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}},
        {"name": "y", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}, "when": "c == null"},
    ]


def loss(launch: AttemptRequest) -> Run:
    variables, value = launch.environment, launch.params["c"]
    assert json.loads(variables["KUBETUNA_PARAMS"])["c"] == value
    assert variables["KUBETUNA_PARAM_C"] == (value if isinstance(value, str) else json.dumps(value))
    assert ("y" in launch.params) == (value is None)
    return Run((json.dumps({"loss": float(launch.params["x"]) + CHOICES.index(value)}).encode(),))


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "nsgaii", "qmc", "cmaes", "bruteforce"])
def test_every_sampler_takes_any_choice(name: str) -> None:
    parameters = space(CHOICES)
    if name == "bruteforce":
        parameters = [p if "list" in p["feasibleSpace"] else _stepped(p) for p in parameters]
    world = run(experiment("", parameters=parameters, maxTrialCount=30, **algorithm(name)), loss, restart=7)
    trials = world.stored()
    assert len(trials) >= 12 and all(t.state == "COMPLETE" for t in trials)
    assert len({json.dumps(t.params["c"]) for t in trials}) >= 6
    # Optuna itself has texts for lists and mappings, which its own tools can hash.
    url = f"sqlite:///{world.folder.name}/study.db"
    theirs = optuna.load_study(study_name="small", storage=url).trials
    assert [{n: restored(v) for n, v in t.params.items()} for t in theirs] == [t.params for t in trials]
    assert optuna.importance.get_param_importances(optuna.load_study(study_name="small", storage=url))
    seen = look_by_name("small", url)
    assert short(seen.best.params["c"] if seen.best else None) in best_text(seen.spec, seen.status)
    assert "small" in render_report(view_of(seen.spec, seen.status, seen.trials, 0.0), (), (), ())


def _stepped(parameter: dict[str, Any]) -> dict[str, Any]:
    return {**parameter, "feasibleSpace": {**parameter["feasibleSpace"], "step": 1}}


def test_tables_show_choices_short_and_apart() -> None:
    assert len({short(choice) for choice in CHOICES if choice not in (5, "5")}) == len(CHOICES) - 2
    assert len({short(choice) for choice in ALIKE} - {""}) == len(ALIKE)
    assert (short("a"), short("no"), short("1.5")) == ("a", "no", "1.5")
    assert len(short(list(range(1000)))) == 40
    words = preview_text(preview(parse_file_text(experiment("", command=["a"], parameters=space(CHOICES)))))
    assert (
        'one of json:[128], null, "null", [64, 64], [128], {"b": [1, {"a": null}]}, "[128]", 5, 5, [], {}' in words
    )


@pytest.mark.parametrize(
    ("choices", "fault"),
    [
        (["a", {"k": "x" * 1_000_000}], r"list\[1\].*1000009 characters of JSON; a choice may have 4096"),
        (["a", "x" * 5000], r"list\[1\].*5002 characters"),
        ([{"k": [n, "x" * 4000]} for n in range(20)], "holds more than 65536 characters"),
        ([[1], [1.0]], r"list\[1\]: Duplicate value"),
        ([None, None], r"list\[1\]: Duplicate value: null"),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], r"list\[1\]: Duplicate value"),
    ],
)
def test_what_no_database_or_environment_could_hold_is_refused(choices: list[Any], fault: str) -> None:
    with pytest.raises(SpecError, match=fault) as caught:
        parse_file_text(experiment("", command=["a"], parameters=space(choices)))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_a_choice_comes_back_from_optuna_as_it_was(choice: Any) -> None:
    assert restored(stored(choice)) == choice and hash(stored(choice)) is not None
    assert isinstance(stored(choice), type(choice)) or isinstance(choice, list | dict)


def test_null_is_a_word_of_expressions() -> None:
    expression = parse_expression("c == null or d != null")
    assert expression.evaluate({"c": None, "d": None}) and expression.evaluate({"c": 1, "d": 0})
    assert not expression.evaluate({"c": "null", "d": None}) and not parse_expression("c == null").evaluate({})
