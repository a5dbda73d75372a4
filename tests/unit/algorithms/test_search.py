"""Samplers, pruners and constraints as an experiment uses them."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from typing import Any

import optuna
import pytest

from kubetuna.errors import SpecError
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.grid import Grid, size
from kubetuna.search.space import cardinality, iterate
from kubetuna.trials.attempts import AttemptRequest
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World, curve

SPACE: list[dict[str, Any]] = [
    {"name": "x", "parameterType": "double", "feasibleSpace": {"min": -1, "max": 1}},
    {
        "name": "lr",
        "parameterType": "double",
        "feasibleSpace": {"min": 1e-6, "max": 1, "distribution": "logUniform"},
    },
    {"name": "n", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 4}},
    {"name": "kind", "parameterType": "categorical", "feasibleSpace": {"list": ["a", True, 2]}, "when": "n >= 2"},
    {"name": "deep", "parameterType": "discrete", "feasibleSpace": {"list": [0.5, 8]}, "when": "kind == 'a'"},
]
NUMBERS = SPACE[:3]


def algorithm(name: str, **settings: Any) -> dict[str, Any]:
    items = [{"name": k, "value": v} for k, v in {"seed": 3, **settings}.items()]
    return {"algorithm": {"algorithmName": name, "algorithmSettings": items}}


def bowl(launch: AttemptRequest) -> Run:
    p = launch.params
    value = float(p["x"]) ** 2 + float(p["n"])
    return Run((json.dumps({"loss": value, "acc": float(p["lr"])}).encode(),))


def run(text: str, program: Any = bowl, restart: int = 0) -> World:
    world = World(text, program)
    for turn in range(3000):
        snapshot = world.turn()
        if restart and turn % restart == 0:
            world.start()
        if not snapshot.trials and (world.study.numbered >= (world.spec.max_trials or 0) or world.study.exhausted):
            break
    world.finish()
    return world


@pytest.mark.parametrize(
    ("name", "settings", "space"),
    [
        ("random", {}, SPACE),
        ("tpe", {"n_startup_trials": 4}, SPACE),
        ("tpe", {"n_startup_trials": 4, "multivariate": "true"}, NUMBERS),
        ("gp", {"n_startup_trials": 4}, NUMBERS),
        ("cmaes", {"n_startup_trials": 3}, NUMBERS),
        ("nsgaii", {"population_size": 4}, SPACE),
        ("nsgaiii", {"population_size": 4}, SPACE),
        ("qmc", {}, NUMBERS),
        ("multivariate-tpe", {"n_startup_trials": 4}, NUMBERS),
    ],
)
def test_a_sampler_proposes_the_same_trials_after_any_number_of_restarts(
    name: str, settings: dict[str, Any], space: list[dict[str, Any]]
) -> None:
    text = experiment("", parameters=space, maxTrialCount=9, parallelTrialCount=1, **algorithm(name, **settings))
    calm, shaken = run(text), run(text, restart=3)
    first, second = ([t.params for t in w.stored()] for w in (calm, shaken))
    assert first == second and len(first) == 9
    assert len({json.dumps(p) for p in first}) >= 7, "genetic samplers may repeat a parent, but rarely"
    for params in first:
        assert ("kind" in params) == (params["n"] >= 2 and space is SPACE)
        assert ("deep" in params) == (params.get("kind") == "a")


def test_tpe_is_better_than_luck() -> None:
    def best(name: str) -> float:
        found = []
        for seed in range(3):
            text = experiment("", parameters=NUMBERS, maxTrialCount=40, **algorithm(name, seed=seed))
            found.append(min(t.values[0] for t in run(text).stored() if t.values))
        return sum(found) / len(found)

    assert best("tpe") <= best("random") + 1e-3


@pytest.mark.parametrize("name", ["grid", "bruteforce"])
def test_a_grid_visits_every_point_once_and_only_where_it_exists(name: str) -> None:
    space = [
        {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1, "step": 0.5}},
        {"name": "lr", "parameterType": "discrete", "feasibleSpace": {"list": [1, 2]}},
        {"name": "n", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 2}},
        {"name": "b", "parameterType": "categorical", "feasibleSpace": {"list": ["u", "v"]}, "when": "n == 2"},
    ]
    text = experiment("", parameters=space, maxTrialCount=14, constraints=["x + n <= 2.5"], **algorithm(name))
    points = [json.dumps(t.params, sort_keys=True) for t in run(text, restart=4).stored()]
    expected = [
        json.dumps({"x": x, "lr": lr, "n": n, **({"b": b} if b else {})}, sort_keys=True)
        for x, lr, n in itertools.product((0.0, 0.5, 1.0), (1, 2), (1, 2))
        for b in (("u", "v") if n == 2 else ("",))
        if x + n <= 2.5
    ]
    assert sorted(points) == sorted(expected)


LARGE = [{"name": name, "parameterType": "int", "feasibleSpace": {"min": 0, "max": 99}} for name in ("a", "b", "c")]
CONDITIONAL = [
    {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1, "step": 0.25}},
    {"name": "n", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 3}},
    {"name": "b", "parameterType": "categorical", "feasibleSpace": {"list": ["u", "v"]}, "when": "n >= 2"},
    {"name": "c", "parameterType": "int", "feasibleSpace": {"min": 5, "max": 7}, "when": "b == 'u'"},
]


@pytest.mark.parametrize("constraints", [[], ["x + n <= 3"]])
@pytest.mark.parametrize("space", [CONDITIONAL, CONDITIONAL[:2]])
def test_a_grid_has_the_order_in_which_older_versions_stored_it(space: list[Any], constraints: list[str]) -> None:
    spec = parse_file_text(experiment("", parameters=space, constraints=constraints, **algorithm("grid")))
    points = list(iterate(spec))
    random.Random(7).shuffle(points)
    grid = Grid(spec, 7)
    assert list(grid) == points == list(grid[:]) and len(grid) == size(spec) and grid[-1] == points[-1]


def test_a_large_grid_is_not_held_in_memory() -> None:
    spec = parse_file_text(experiment("", parameters=LARGE, maxTrialCount=20, **algorithm("grid")))
    tracemalloc.start()
    grid = Grid(spec, 7)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(grid) == 1_000_000 and most < 10_000_000
    assert len({json.dumps(point, sort_keys=True) for point in grid[:5_000]}) == 5_000


@pytest.mark.parametrize("name", ["grid", "tpe"])
def test_what_expressions_cost_over_all_points_is_bounded(name: str) -> None:
    long = " + ".join(["a"] * 140) + " >= 0"
    spaces = experiment("", parameters=LARGE[:2], constraints=[long] * 50, **algorithm(name))
    if name == "tpe":
        assert cardinality(parse_file_text(spaces)) == 10_000
    else:
        with pytest.raises(SpecError, match="50 conditions and constraints cannot be checked at all 10000 points"):
            parse_file_text(spaces)


def test_proposals_that_violate_a_constraint_are_redrawn_and_never_numbered() -> None:
    text = experiment(
        "", parameters=SPACE, maxTrialCount=20, constraints=["x > 0.8", "n < 3 or x > 0.9"], **algorithm("tpe")
    )
    trials = run(text).stored()
    assert [t.number for t in trials] == list(range(20))
    assert all(t.params["x"] > 0.8 and (t.params["n"] < 3 or t.params["x"] > 0.9) for t in trials)


def test_a_constraint_that_is_never_met_fails_and_is_named() -> None:
    text = experiment("", parameters=NUMBERS, constraints=["x * x + lr < 0.0000001"], **algorithm("random"))
    world = World(text, bowl)
    ending = world.finish()
    assert ending.failed and "x * x + lr" in ending.message


def test_a_constraint_over_metrics_is_told_as_infeasible() -> None:
    goal = {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["acc"]}
    text = experiment("", parameters=NUMBERS, objective=goal, constraints=["acc <= 0.001"], **algorithm("tpe"))
    world = run(text)
    assert any(not t.feasible for t in world.stored())
    assert all(t.feasible == (t.metrics["acc"] <= 0.001) for t in world.stored())
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{world.folder.name}/study.db")
    assert all((t.system_attrs["constraints"][0] <= 0) == (t.user_attrs["acc"] <= 0.001) for t in study.trials)


def test_literal_points_are_tried_first() -> None:
    points = [{"x": 0.25, "n": 2}, {"x": -0.5, "lr": 0.01, "n": 1}]
    text = experiment("", parameters=NUMBERS, warmStart={"points": points}, **algorithm("tpe"))
    first, second = [t.params for t in run(text).stored()][:2]
    assert (first["x"], first["n"]) == (0.25, 2) and second == {"x": -0.5, "lr": 0.01, "n": 1}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("median", {"n_startup_trials": 1}),
        ("medianstop", {"min_trials_required": 1, "start_step": 1}),
        ("percentile", {"percentile": 25, "n_startup_trials": 1}),
        ("asha", {"min_resource": 1, "reduction_factor": 2}),
        ("hyperband", {"min_resource": 1, "max_resource": 5, "reduction_factor": 2}),
        ("threshold", {"upper": 1.3}),
        ("wilcoxon", {"n_startup_steps": 1, "p_threshold": 0.4}),
        ("patient", {"patience": 1, "wrapped_pruner": "median", "wrapped_pruner.n_startup_trials": 1}),
    ],
)
def test_a_pruner_decides_as_it_would_in_optunas_own_loop(name: str, settings: dict[str, Any]) -> None:
    """The same values reported to the same pruner through Optuna alone give the same states and steps."""
    items = [{"name": k, "value": v} for k, v in settings.items()]
    stopping = {"algorithmName": name, "algorithmSettings": items}
    text = experiment("", maxTrialCount=12, parallelTrialCount=1, earlyStopping=stopping, **algorithm("random"))
    world = run(text, wavy, restart=5)
    ours = [(t.state, len(t.steps)) for t in world.stored()]
    pruner = world.study._optuna.pruner
    study = optuna.create_study(study_name="small", pruner=pruner)
    for trial in world.stored():
        study.enqueue_trial(trial.params)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step, value in values(x):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return values(x)[-1][1]

    study.optimize(objective, n_trials=12)
    theirs = [(t.state.name, len(t.intermediate_values)) for t in study.trials]
    assert ours == theirs
    assert any(state == "PRUNED" for state, _ in ours) or name == "hyperband"


def values(x: float) -> list[tuple[int, float]]:
    return [(step, x + (1 if x < 0.5 else -0.1) / step) for step in range(1, 6)]


def wavy(launch: AttemptRequest) -> Run:
    return Run(tuple(json.dumps({"step": s, "loss": v}).encode() for s, v in values(float(launch.params["x"]))))


def test_what_is_printed_after_the_verdict_does_not_count() -> None:
    stopping = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 0.0}]}
    world = run(experiment("", maxTrialCount=2, earlyStopping=stopping), curve)
    for trial in world.stored():
        assert trial.state == "PRUNED" and len(trial.steps) == 1 and trial.values == (trial.steps[0][1],)
