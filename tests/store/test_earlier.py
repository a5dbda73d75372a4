"""Starting from earlier studies: their best points first, their trials as knowledge, across changed spaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubetuna.store.reader import _absent
from tests.local.runs import Runner, experiment
from tests.results.studies import plain_optuna

LOSS = "import os; print(f\"loss={(float(os.environ['KUBETUNA_PARAM_X']) - 0.3) ** 2}\")"


@pytest.fixture
def small(tmp_path: Path) -> Runner:
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    runner.run(experiment(LOSS, name="first", maxTrialCount=6))
    return runner


def again(small: Runner, studies: list[Any], high: float = 1.0, **spec: Any) -> list[dict[str, Any]]:
    space = [
        {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": high}},
        {"name": "y", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 9}},
    ]
    space = space[: spec.pop("width", 1)]
    whole = {"parallelTrialCount": 1, "warmStart": {"studies": studies}, "parameters": space, **spec}
    small.run(experiment(LOSS, name="second", **whole))
    found: list[dict[str, Any]] = small.trials("second")
    return found


def best_points(small: Runner, count: int) -> list[float]:
    first = sorted(small.trials("first"), key=lambda t: float(t["values"][0]))
    return [t["params"]["x"] for t in first[:count]]


def test_the_best_points_are_tried_first_and_best_first(small: Runner) -> None:
    second = again(small, [{"study": "first", "points": 2}])
    assert [t["params"]["x"] for t in second[:2]] == best_points(small, 2)
    assert len(second) == 4 and len({t["params"]["x"] for t in second}) == 4


def test_trials_teach_the_sampler_and_are_not_counted(small: Runner) -> None:
    second = again(small, [{"study": "first", "points": 0, "trials": True}], maxTrialCount=3)
    assert len(second) == 9
    status = json.loads(small.call("status", "second", "--json"))
    assert status["trials"] == 3


def test_what_does_not_fit_is_said(small: Runner) -> None:
    path = small.write(
        experiment(
            LOSS,
            name="narrow",
            parallelTrialCount=1,
            warmStart={"studies": [{"study": "first", "points": 6, "trials": True}]},
            parameters=[
                {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 0.01}},
                {"name": "y", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 9}},
            ],
        )
    )
    process = small.start("run", str(path))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "is left out, it lies outside the new space" in said
    assert "first: 6 of 6 trials do not fit the new space" in said


def test_going_on_takes_nothing_over_twice(small: Runner) -> None:
    first = again(small, [{"study": "first", "trials": True}], maxTrialCount=2)
    second = again(small, [{"study": "first", "trials": True}], maxTrialCount=4)
    assert len(second) == len(first) + 2
    assert [t["params"] for t in second[: len(first)]] == [t["params"] for t in first]


def test_a_study_that_is_not_there_leaves_no_empty_one(small: Runner) -> None:
    path = small.write(experiment(LOSS, name="third", warmStart={"studies": ["firts"]}))
    assert "spec.warmStart.studies[0]: no study 'firts'" in small.call("run", str(path), code=2)
    assert "there is 'first'" in small.call("summary", "third", code=2)


def test_of_many_other_studies_the_message_says_how_many_more_there_are() -> None:
    assert (
        _absent("z", list("abcdefg"), "here") == "no study 'z' in here; there is 'a', 'b', 'c', 'd', 'e' and 2 more"
    )
    assert _absent("aaaa", ["aaab", "x"], "here") == "no study 'aaaa' in here; there is 'aaab'"


def test_one_that_goes_the_other_way_is_refused(small: Runner) -> None:
    objective = {"type": "maximize", "objectiveMetricName": "loss"}
    path = small.write(experiment(LOSS, name="third", objective=objective, warmStart={"studies": ["first"]}))
    assert "does not maximize loss" in small.call("run", str(path), code=2)


def test_a_study_of_plain_optuna_will_do(tmp_path: Path) -> None:
    runner = Runner(tmp_path, plain_optuna(tmp_path / "o.db"))
    objective = {"type": "maximize", "objectiveMetricName": "loss"}
    runner.run(experiment(LOSS, name="ours", objective=objective, warmStart={"studies": ["theirs"]}))
    assert len(runner.trials("ours")) == 4


@pytest.mark.parametrize(
    ("studies", "told"),
    [
        ("first", 'spec.warmStart.studies: Invalid value: "first": must be of type array'),
        ([3], "spec.warmStart.studies[0]: Invalid value: 3: must be of type object"),
        ([{"points": 3}], "spec.warmStart.studies[0].study: Required value"),
        ([{"study": "a", "point": 3}], 'did you mean "points"'),
        ([{"study": "a", "points": -1}], "spec.warmStart.studies[0].points"),
    ],
)
def test_bad_fields_are_named(tmp_path: Path, studies: Any, told: str) -> None:
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    assert told in runner.call("plan", str(runner.write(experiment(LOSS, warmStart={"studies": studies}))), code=2)
