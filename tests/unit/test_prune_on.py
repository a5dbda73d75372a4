"""Pruning on a metric that is not the only objective: whose curve counts, which way, what samplers see."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from optuna.trial import TrialState

from kubetuna.analysis.report import curves
from kubetuna.analysis.report.view import view_of
from kubetuna.errors import SpecError
from kubetuna.metrics.explanation import Explanation
from kubetuna.parsing.parse import parse_experiment
from kubetuna.store.reader import read_study
from kubetuna.study.record import study_record
from kubetuna.terminal.explained import explained_sum
from kubetuna.terminal.preview import preview
from kubetuna.trials.attempts import AttemptRequest
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World

STEPS = 6
SEVERAL = [{"metric": "loss", "direction": "minimize"}, {"metric": "auc", "direction": "maximize"}]
ONE = {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["auc"]}


def document(on: str | None, pruner: str = "median", **more: Any) -> dict[str, Any]:
    settings = {"median": {"n_startup_trials": 2}, "patient": {"patience": 1}, "threshold": {"upper": 0.7}}
    given = [{"name": key, "value": value} for key, value in settings.get(pruner, {}).items()]
    stopping = {"algorithmName": pruner, "algorithmSettings": given} | ({} if on is None else {"pruneOn": on})
    found: dict[str, Any] = yaml.safe_load(experiment("", maxTrialCount=8, parallelTrialCount=1, **more))
    found["spec"] |= {"earlyStopping": stopping}
    return found


def several(on: str | None, pruner: str = "median", **more: Any) -> dict[str, Any]:
    found = document(on, pruner, **more)
    del found["spec"]["objective"]
    found["spec"]["objectives"] = SEVERAL
    return found


def one(on: str, pruner: str = "median", way: str | None = "maximize") -> dict[str, Any]:
    return document(on, pruner, objective={**ONE, **({"metricDirections": {"auc": way}} if way else {})})


def world_of(found: dict[str, Any]) -> World:
    return World(yaml.safe_dump(found), falling)


def falling(launch: AttemptRequest) -> Run:
    """A small ``x`` is best by the loss and worst by the AUC."""
    x = float(launch.params["x"])
    lines = [{"step": s, "loss": x + 1 / s, "auc": x - 1 / s} for s in range(1, STEPS + 1)]
    return Run(tuple(json.dumps(line).encode() for line in lines))


def pruned(world: World) -> dict[int, float]:
    return {t.number: t.params["x"] for t in world.stored() if t.state == "PRUNED"}


@pytest.mark.parametrize(("on", "sign"), [("loss", 1), ("auc", -1)])
def test_of_several_objectives_the_chosen_one_prunes_its_own_way(on: str, sign: int) -> None:
    world = world_of(several(on, algorithm={"algorithmName": "tpe"}))
    world.finish()
    trials = world.stored()
    best = min(sign * t.params["x"] for t in trials)
    assert pruned(world) and all(sign * x > best for x in pruned(world).values())
    assert next(t for t in trials if sign * t.params["x"] == best).state == "COMPLETE"
    raw = read_study(world.database, "small").trials
    assert {t.state for t in raw} == {TrialState.COMPLETE, TrialState.PRUNED}
    # A pruned trial with intermediate values makes Optuna's next proposal for several objectives raise.
    assert not any(t.intermediate_values for t in raw)
    assert all(t.steps[0] == (1, t.params["x"] + sign) for t in trials)
    assert [len(t.steps) == STEPS for t in trials] == [t.state == "COMPLETE" for t in trials]


def test_one_objective_is_pruned_on_another_metric() -> None:
    world = world_of(one("auc"))
    world.finish()
    assert pruned(world) and min(t.params["x"] for t in world.stored()) in pruned(world).values()
    for found in read_study(world.database, "small").trials:
        # Samplers rank pruned trials by intermediate values, as if they were the objective's.
        assert not found.intermediate_values
        assert found.state is not TrialState.PRUNED or found.values == [found.user_attrs["loss"]]


@pytest.mark.parametrize("on", ["loss", "auc"])
@pytest.mark.parametrize("pruner", ["auto", "median", "asha", "hyperband", "patient", "threshold", "wilcoxon"])
def test_every_pruner_decides_the_same_however_often_its_runner_dies(on: str, pruner: str) -> None:
    calm, shaken = world_of(several(on, pruner)), world_of(several(on, pruner))
    calm.finish()
    for _ in range(150):
        shaken.turn()
        shaken.start()
    shaken.finish()
    stories = [[(t.number, t.state, t.params, t.steps) for t in w.stored()] for w in (calm, shaken)]
    assert stories[0] == stories[1] and len(stories[0]) == 8


@pytest.mark.parametrize("pruner", ["auto", "median", "asha", "hyperband", "threshold", "wilcoxon"])
def test_the_verdicts_are_those_of_one_objective(pruner: str) -> None:
    """A copy of the objective under another name prunes as the objective does."""

    def twice(launch: AttemptRequest) -> Run:
        lines = [json.loads(line) for line in falling(launch).lines]
        return Run(tuple(json.dumps({**line, "auc": line["loss"]}).encode() for line in lines))

    worlds = [World(yaml.safe_dump(one(on, pruner, "minimize")), twice) for on in ("loss", "auc")]
    for world in worlds:
        world.finish()
    assert pruned(worlds[0]) == pruned(worlds[1])


def test_what_text_gave_of_a_curve_is_withdrawn_however_long_it_is() -> None:
    lines = [f"loss={n}".encode() for n in range(250)] + [b'{"step": 300, "loss": 0.5, "auc": 1}'] * 2
    world = World(yaml.safe_dump(several("loss", "none")), lambda _: Run(tuple(lines)))
    for _ in range(270):
        world.turn()
    assert world.stored()[0].steps == ((300, 0.5),)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (several(None), r"spec\.earlyStopping: Forbidden: .*add pruneOn: METRIC"),
        (
            several("los"),
            r'pruneOn: Unsupported value: "los".*"loss", "auc"; did you mean "loss".*spec\.additional',
        ),
        (one("auc", way=None), r"pruneOn: Invalid value: \"auc\": needs a direction in spec\.objective\.metricDir"),
        (one("other"), r"pruneOn: Unsupported value.*spec\.objective\.additionalMetricNames"),
        (one(""), r"spec\.earlyStopping\.pruneOn: Invalid value"),
    ],
)
def test_a_metric_that_cannot_be_pruned_on(found: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_experiment(found)


def test_plan_and_report_say_what_is_pruned_on() -> None:
    world = world_of(several("auc"))
    assert (
        "pruner median on auc" in repr(preview(world.spec)) and preview(world.spec)["earlyStopping"]["on"] == "auc"
    )
    alone = parse_experiment(one("loss"))
    assert "pruner median," in repr(preview(alone)) and alone.prune_on is None
    world.finish()
    seen = study_record(read_study(world.database, "small"), "")
    shown = curves.section(view_of(seen.spec, seen.status, seen.trials, 0.0))
    assert "trial's auc" in shown.lead and "Curves of auc" in shown.charts[0].alt


def test_an_explained_log_shows_the_curve_of_the_metric_that_is_pruned_on() -> None:
    whole = Explanation(parse_experiment(one("auc")))
    lines = list(whole.lines([b'{"step": 1, "loss": 1, "auc": 0.5}', b'{"step": 2, "loss": 2}']))
    assert [line.step for line in lines] == [1, None] and whole.curve == {1: 0.5}
    assert "Curve of auc: 1 step" in explained_sum(whole)


def test_a_metric_named_on_the_command_line_leaves_the_pruner_alone() -> None:
    found = parse_experiment(several("loss"), metric="auc")
    assert (found.objectives[0].metric, found.curve.metric, found.curve.direction) == ("auc", "loss", "minimize")
