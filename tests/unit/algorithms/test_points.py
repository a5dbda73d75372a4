"""No point is tried twice, by no sampler, in parallel or after restarts; and a finite space ends well."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubetuna.local.runner import look_by_name
from kubetuna.parsing.parse import parse_file_text
from kubetuna.terminal.preview import preview, preview_text
from kubetuna.trials.attempts import AttemptRequest, ExitFacts
from tests.fakes import Run
from tests.local.runs import experiment
from tests.unit.algorithms.test_search import algorithm, run
from tests.world import World

SMALL = [
    {"name": "a", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 3}},
    {"name": "b", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 0.3, "step": 0.1}},
]


def loss(launch: AttemptRequest) -> Run:
    value = sum(v for v in launch.params.values() if isinstance(v, int | float))
    return Run((json.dumps({"loss": value, "acc": 1}).encode(),))


def crash(launch: AttemptRequest) -> Run:
    return loss(launch) if launch.params["a"] > 1 else Run((b"no",), ExitFacts(exit_code=1))


def text_of(space: list[dict[str, Any]], name: str, **spec: Any) -> str:
    return experiment("", parameters=space, **{"maxTrialCount": 30, **algorithm(name), **spec})


def points(world: World) -> list[str]:
    return [json.dumps(t.params, sort_keys=True) for t in world.stored()]


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("name", ["random", "tpe", "gp", "cmaes", "nsgaii", "qmc", "grid", "bruteforce"])
def test_every_point_is_tried_once_and_then_the_search_ends(name: str, parallel: int) -> None:
    count = {"maxTrialCount": 12} if name == "grid" else {}
    world = run(text_of(SMALL, name, parallelTrialCount=parallel, **count), loss, restart=5)
    assert len(points(world)) == len(set(points(world))) == 12
    assert name == "grid" or world.finish().reason == "SearchSpaceExhausted"
    seen = look_by_name("small", f"sqlite:///{world.folder.name}/study.db")
    assert seen.status["state"] == "Succeeded"
    assert name == "grid" or seen.status["message"] == "every point of the search space was tried"


def test_a_failed_point_is_tried_again_by_nothing_but_the_retry_policy() -> None:
    world = run(text_of(SMALL, "tpe", retryPolicy={"limit": 1}), crash)
    failed = [t for t in world.stored() if t.state == "FAIL"]
    assert len(failed) == 4 and all(len(t.attempts) == 2 for t in failed)
    assert len(points(world)) == len(set(points(world))) == 12


def test_a_space_of_one_point_ends_well() -> None:
    one = [{"name": "a", "parameterType": "int", "feasibleSpace": {"min": 2, "max": 2}}]
    world = World(text_of(one, "tpe", maxTrialCount=100, repeats=3), loss)
    assert world.finish().reason == "SearchSpaceExhausted"
    assert [(t.state, len(t.repeats)) for t in world.stored()] == [("COMPLETE", 3)]


def test_conditions_and_constraints_are_heeded_in_what_is_left() -> None:
    kind = {"name": "k", "parameterType": "categorical", "feasibleSpace": {"list": ["u", "v"]}, "when": "a == 3"}
    world = run(text_of([*SMALL, kind], "tpe", constraints=["a + b <= 3.1"]), loss)
    # a in 1, 2: four values of b each; a = 3: b of 0 and 0.1, with either kind.
    assert len(points(world)) == len(set(points(world))) == 12


def test_a_branch_that_is_a_single_point_does_not_hold_the_search() -> None:
    space = [
        {"name": "k", "parameterType": "categorical", "feasibleSpace": {"list": ["one", "many"]}},
        {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 5, "max": 9}, "when": "k == 'many'"},
    ]
    trials = run(text_of(space, "tpe"), loss).stored()
    assert [t.params["k"] for t in trials].count("one") == 1 and len(trials) == 30


def test_a_point_that_is_named_twice_to_begin_with_is_tried_once() -> None:
    first = {"points": [{"a": 1, "b": 0.3}, {"a": 1, "b": 0.3}, {"a": 1}]}
    for name in ("tpe", "bruteforce"):
        world = run(text_of(SMALL, name, warmStart=first), loss)
        assert points(world)[0] == '{"a": 1, "b": 0.3}' and '"a": 1' in points(world)[2]
        assert len(points(world)) == len(set(points(world))) == 12


def test_plan_sets_the_points_beside_the_trials() -> None:
    words = preview_text(preview(parse_file_text(text_of(SMALL, "tpe"))))
    assert "the search space has 12 points, so the search ends after 12 trials of 30" in words
    assert "search ends" not in preview_text(preview(parse_file_text(text_of(SMALL, "tpe", maxTrialCount=12))))
