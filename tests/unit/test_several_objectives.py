"""Several objectives: what else is collected beside them, held to constraints, compared or optimised alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

import kubetuna
from kubetuna.analysis.comparison import compare
from kubetuna.errors import SpecError
from kubetuna.experiment.model import Experiment
from kubetuna.local.runner import look_by_name
from kubetuna.parsing.edits import immutable_changes
from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptRequest
from tests.api import functions
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World

SEVERAL: dict[str, Any] = {
    "objectives": [
        {"metric": "loss", "direction": "minimize", "goal": 0.1},
        {"metric": "auc", "direction": "maximize"},
    ],
    "additionalMetricNames": ["latency", "acc"],
    "metricDirections": {"latency": "minimize"},
}


def document(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(experiment("", **more))
    del found["spec"]["objective"]
    found["spec"] |= SEVERAL
    return found


def printing(launch: AttemptRequest) -> Run:
    x = float(launch.params["x"])
    printed = {"loss": x, "auc": 1 - x, "acc": 0.5}
    return Run((json.dumps(printed | ({} if launch.key.trial == 1 else {"latency": 100 * x})).encode(),))


def test_further_metrics_are_kept_and_constrained() -> None:
    limits = ["latency <= 60", "loss < 0.5 or auc > 2"]
    endless = document(constraints=limits, maxTrialCount=6)
    endless["spec"]["objectives"] = [{**o, "goal": None} for o in SEVERAL["objectives"]]
    world = World(yaml.safe_dump(endless), printing)
    world.finish()
    trials = world.stored()
    assert [set(t.metrics) - {"latency"} for t in trials] == [{"loss", "auc", "acc"}] * 6
    assert [t.feasible for t in trials] == [t.params["x"] < 0.5 and t.number != 1 for t in trials]
    assert "the log gives no number for 'latency'" in trials[1].message
    seen = look_by_name("small", f"sqlite:///{world.folder.name}/study.db")
    assert {t.number for t in seen.front} <= {t.number for t in trials if t.feasible}
    found = compare([seen, seen], "latency")
    assert found.direction == "minimize" and found.studies[0].best == min(
        t.metrics["latency"] for t in trials if t.feasible
    )
    assert compare([seen, seen], "auc").direction == "maximize"
    with pytest.raises(SpecError, match=r"needs a direction.*of spec\.objective; beside several, of spec"):
        compare([seen, seen], "acc")


@pytest.mark.parametrize(
    ("metric", "way", "goal", "further"),
    [
        ("loss", "minimize", 0.1, ("auc", "latency", "acc")),
        ("auc", "maximize", None, ("loss", "latency", "acc")),
        ("latency", "minimize", None, ("auc", "acc", "loss")),
        ("acc:maximize", "maximize", None, ("auc", "latency", "loss")),
        ("new:minimize", "minimize", None, ("auc", "latency", "acc", "loss")),
        ("auc:minimize", "minimize", None, ("loss", "latency", "acc")),
    ],
)
def test_one_metric_in_place_of_several(
    metric: str, way: str, goal: float | None, further: tuple[str, ...]
) -> None:
    found = parse_experiment(document(), metric=metric)
    assert [(o.metric, o.direction, o.goal) for o in found.objectives] == [(metric.partition(":")[0], way, goal)]
    assert found.additional_metrics == further
    said = {"loss": "minimize", "auc": "maximize", "latency": "minimize"}
    assert {n: found.direction(n) for n in further} == {n: said.get(n) for n in further}


def test_a_metric_without_a_direction_does_not_replace_several() -> None:
    with pytest.raises(SpecError, match=r"--metric: .*acc:minimize or acc:maximize"):
        parse_experiment(document(), metric="acc")


def test_as_many_metrics_as_fit_still_fit_with_one_objective() -> None:
    full = document()
    full["spec"]["objectives"] = [{"metric": f"o{n}", "direction": "minimize"} for n in range(8)]
    names = [f"m{n}" for n in range(40)]
    full["spec"] |= {"additionalMetricNames": names, "metricDirections": dict.fromkeys(names, "maximize")}
    full["spec"]["metricStrategies"] = [{"name": name, "value": "min"} for name in names]
    one = parse_experiment(full, metric="m7")
    assert len(one.metric_names) == 48 and one.strategy("m7") == "min"


@pytest.mark.parametrize(
    "wrong",
    [
        {"objectives": "loss"},
        {"objectives": [{"metric": "loss"}]},
        {"objectives": []},
        {"objectives": [None]},
        {"additionalMetricNames": "acc"},
        {"metricDirections": ["acc"]},
    ],
)
def test_a_metric_in_place_of_what_is_wrong_leaves_it_wrong(wrong: dict[str, Any]) -> None:
    found = document()
    found["spec"] |= wrong
    with pytest.raises(SpecError, match=f"spec.{next(iter(wrong))}"):
        parse_experiment(found, metric="auc")


def test_an_objective_may_be_judged_by_the_best_of_its_curve() -> None:
    found = document()
    found["spec"]["metricStrategies"] = [{"name": "auc", "value": "max"}, {"name": "acc", "value": "min"}]
    spec: Experiment = parse_experiment(found)
    assert [spec.strategy(name) for name in spec.metric_names] == ["latest", "max", "latest", "min"]


def test_of_further_metrics_only_the_directions_may_be_edited() -> None:
    old, new = document(), document()
    new["spec"]["metricDirections"] = {"latency": "maximize", "acc": "maximize"}
    assert immutable_changes(old, new) == ()
    new["spec"]["additionalMetricNames"] = ["acc"]
    assert immutable_changes(old, new) == ("spec.additionalMetricNames",)


def test_a_function_reports_further_metrics_beside_several_objectives() -> None:
    goals = [{"metric": "loss", "direction": "minimize"}, {"metric": "cost", "direction": "minimize"}]
    shown = kubetuna.plan(
        functions.pair, parameters={"x": (0.0, 1.0)}, objectives=goals, maxTrialCount=3,
        additionalMetricNames=["acc"], constraints=["acc > 0"],
    )  # fmt: skip
    assert [o["metric"] for o in shown["objectives"]] == ["loss", "cost"]
