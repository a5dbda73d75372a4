"""Constraints over metrics: one that could not be checked does not hold, and a search without a winner says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kubetuna.analysis.summary import summary, summary_text
from kubetuna.cli.experiments import code_of
from kubetuna.errors import SpecError
from kubetuna.experiment.expressions import quoted
from kubetuna.local.runner import look_by_name
from kubetuna.parsing.parse import parse_file_text
from kubetuna.terminal.tables import best_text, status_rows
from kubetuna.trials.attempts import AttemptRequest
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World

GOAL = {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["latency"]}


def printing(**more: float) -> Callable[[AttemptRequest], Run]:
    return lambda launch: Run((json.dumps({"loss": float(launch.params["x"]), **more}).encode(),))


def ended(program: Any, *constraints: str, **spec: Any) -> World:
    world = World(experiment("", objective=GOAL, constraints=list(constraints), maxTrialCount=4, **spec), program)
    world.finish()
    return world


@pytest.mark.parametrize(
    "constraint", ["latency <= 50", "not (latency > 50)", "latency != 1", "x < 2 or latency < 1"]
)
@pytest.mark.parametrize(
    "printed", [{}, {"latency_ms": 10.0}, {"latency": float("nan")}], ids=["nothing", "another name", "NaN"]
)
def test_what_could_not_be_checked_does_not_hold(constraint: str, printed: dict[str, float]) -> None:
    for trial in ended(printing(**printed), constraint).stored():
        assert trial.state == "COMPLETE" and not trial.feasible
        assert trial.message == (
            f"infeasible: {constraint!r} cannot be checked, since the log gives no number for 'latency'"
        )


def test_a_constraint_on_a_parameter_that_does_not_exist_is_not_about_the_trial() -> None:
    space = [
        {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}},
        {"name": "y", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 2}, "when": "x > 2"},
    ]
    trials = ended(printing(latency=9), "latency <= 5 * y", parameters=space).stored()
    assert all(t.feasible and t.message == "" for t in trials)


def test_a_search_whose_every_trial_is_infeasible_has_failed_and_says_so() -> None:
    world = ended(printing(latency=90), "latency <= 50")
    assert {t.message for t in world.stored()} == {"infeasible: 'latency <= 50' does not hold"}
    seen = look_by_name("small", f"sqlite:///{world.folder.name}/study.db")
    why = "4 completed, none satisfies 'latency <= 50'"
    assert (seen.status["state"], code_of(dict(seen.status))) == ("Failed", 1)
    assert seen.status["message"] == f"4 trials were made; {why}"
    rows = dict(status_rows(seen.spec, seen.status))
    assert why in rows["best"] and "4 done (4 infeasible)" in rows["trials"]
    assert rows["saved by pruning"] == "nothing: the experiment has no pruner"
    assert best_text(seen.spec, seen.status) == f"small: {why}"
    assert f"Result: none yet; {why}" in summary_text(summary(seen, "small", 0.0))


def test_one_feasible_trial_is_a_result() -> None:
    world = ended(lambda launch: printing(latency=90.0 * (launch.key.trial != 2))(launch), "latency <= 50")
    seen = look_by_name("small", f"sqlite:///{world.folder.name}/study.db")
    assert seen.status["state"] == "Succeeded" and seen.best is not None and seen.best.number == 2
    assert seen.status["trialsInfeasible"] == 3


def test_a_constraint_on_an_unknown_name_says_where_a_metric_is_named() -> None:
    with pytest.raises(SpecError) as refused:
        parse_file_text(experiment("", constraints=["acc > 0.5"], command=["a"]))
    assert (
        "'acc' is neither a parameter nor a metric; a further metric belongs in spec.objective.additional"
        in str(refused.value)
    )
    both = [{"metric": name, "direction": "minimize"} for name in ("a", "b")]
    with pytest.raises(SpecError) as refused:
        parse_file_text(experiment("", constraints=["acc > 0.5"], command=["a"], objective=None, objectives=both))
    assert "'acc' is neither a parameter nor a metric; a further metric belongs in spec.additional" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("val-loss", "val-loss < 3"),
        ("ndcg@10", "ndcg@10 > 0.5"),
        ("valid_1 auc", "valid_1 auc >= 0.5 and x < 1"),
        ("a`b", "a`b < 1"),
    ],
)
def test_a_name_that_is_no_word_is_written_in_backticks(name: str, text: str) -> None:
    goal = {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": [name]}
    with pytest.raises(SpecError) as refused:
        parse_file_text(experiment("", constraints=[text], objective=goal))
    written = quoted(name)
    assert f"; write {written}, in backticks" in str(refused.value)
    assert parse_file_text(experiment("", constraints=[text.replace(name, written)], objective=goal))


def test_a_condition_on_a_dotted_parameter_says_how_it_is_written() -> None:
    unit = {"parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}
    both = [{"name": "lr.rate", **unit}, {"name": "x", "when": "lr.rate > 0.5", **unit}]
    with pytest.raises(SpecError, match=r"write `lr\.rate`, in backticks"):
        parse_file_text(experiment("", parameters=both))
