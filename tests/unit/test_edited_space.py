"""The search space of a study is edited: what stored trials mean then, what samplers see, what people are told."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution
from rich.console import Console

from kubetuna.analysis.report.checks import checks
from kubetuna.analysis.report.view import view_of
from kubetuna.errors import SpecError, StudyMismatch
from kubetuna.parsing.edits import immutable_changes, space_faults
from kubetuna.parsing.parse import parse_experiment
from kubetuna.store.reader import read_study
from kubetuna.study.record import StudyRecord, study_record
from kubetuna.terminal.tables import trials_table
from kubetuna.trials.attempts import AttemptRequest
from kubetuna.trials.records import from_json
from tests.fakes import Run
from tests.local.runs import experiment
from tests.spec_table import EDITS, document
from tests.world import World


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_is_taken_or_refused_at_its_path(case: str) -> None:
    edit = EDITS[case]
    old, new = document(edit.before), document({**edit.before, **edit.after})
    parse_experiment(old)
    refused = immutable_changes(old, new) or tuple(fault.split(":")[0] for fault in space_faults(old, new))
    assert refused == ((edit.path,) if edit.path else ())
    if not edit.path:
        parse_experiment(new)


def space(low: float = 0, high: float = 1, kinds: tuple[Any, ...] = ("a", "b", "c"), **spec: Any) -> dict[str, Any]:
    spec = {"maxTrialCount": 12, "parallelTrialCount": 1, **spec}
    found: dict[str, Any] = yaml.safe_load(experiment("", **spec))
    found["spec"]["parameters"] = [
        {"name": "x", "parameterType": "double", "feasibleSpace": {"min": low, "max": high}},
        {"name": "kind", "parameterType": "categorical", "feasibleSpace": {"list": list(kinds)}},
    ]
    return found


def sampler(name: str) -> dict[str, Any]:
    startup = {"n_startup_trials": 3} if name in ("tpe", "gp") else {}
    settings = {"seed": 3, **startup}
    return {"algorithmName": name, "algorithmSettings": [{"name": k, "value": v} for k, v in settings.items()]}


def loss(launch: AttemptRequest) -> Run:
    kinds = {"a": 0.0, "b": 0.1, "c": 0.2}
    return Run((json.dumps({"loss": launch.params["x"] + kinds.get(launch.params["kind"], -1.0)}).encode(),))


def world_of(found: dict[str, Any]) -> World:
    return World(yaml.safe_dump(found), loss)


def edit(world: World, found: dict[str, Any]) -> None:
    world.spec = parse_experiment(found)
    world.start()


def seen(world: World) -> StudyRecord:
    return study_record(read_study(world.database, "small"), "")


@pytest.mark.parametrize("name", ["random", "tpe", "qmc", "gp", "auto"])
def test_trials_after_an_edit_are_of_the_new_space_and_earlier_ones_keep_theirs(name: str) -> None:
    world = world_of(space(algorithm=sampler(name)))
    while len([t for t in world.stored() if t.values]) < 8:
        world.turn()
    edit(world, space(0.25, 3, ("b", "c", "d"), maxTrialCount=20, algorithm=sampler(name)))
    before = world.study.numbered
    world.finish()
    trials = seen(world).trials
    assert len(trials) == 20 and all(t.state == "COMPLETE" for t in trials)
    assert all(t.space == {"x": {"min": 0, "max": 1}, "kind": {"list": ["a", "b", "c"]}} for t in trials[:before])
    assert not any(t.space for t in trials[before:])
    assert all(0.25 <= t.params["x"] <= 3 and t.params["kind"] in "bcd" for t in trials[before:])
    raw = read_study(world.database, "small").trials
    assert raw[0].distributions["kind"] == CategoricalDistribution(("a", "b", "c"))
    assert raw[-1].distributions["x"] == FloatDistribution(0.25, 3)


def test_a_sampler_goes_on_with_what_it_learned_where_that_lies_in_the_new_space() -> None:
    """The joint model of TPE holds only parameters whose distribution all its trials share."""
    world = world_of(space(algorithm=sampler("tpe")))
    world.finish()
    edit(world, space(0, 0.9, ("a", "b", "c", "d"), maxTrialCount=13, algorithm=sampler("tpe")))
    learned = world.study._optuna.get_trials(deepcopy=False)
    inside = [t for t in world.stored() if t.params["x"] <= 0.9]
    assert 0 < len(inside) < 12 and [t.number for t in learned] == [t.number for t in inside]
    assert {d for t in learned for d in map(str, t.distributions.values())} == {
        str(FloatDistribution(0, 0.9)), str(CategoricalDistribution(("a", "b", "c", "d")))
    }  # fmt: skip


def test_a_trial_that_runs_outside_the_new_space_goes_on_and_can_win() -> None:
    world = world_of(space(parallelTrialCount=4, maxTrialCount=6, retest={"top": 1, "repeats": 2}))
    world.turn()
    world.turn()
    running = [t.params for t in world.study.open.values()]
    assert len(running) == 4 and min(p["x"] for p in running) < 0.9
    edit(world, space(0.9, 1, ("c",), parallelTrialCount=4, maxTrialCount=6, retest={"top": 1, "repeats": 2}))
    world.finish()
    found = seen(world)
    assert [t.params for t in found.trials[:4]] == running and len(world.place.launched) == 4 + 2 + 2
    assert found.trials[-1].retest_of == min(found.trials[:6], key=lambda t: t.values or ()).number
    assert found.trials[-1].params in running and found.trials[-1].space


def test_people_read_which_space_a_trial_was_drawn_from() -> None:
    world = world_of(space(maxTrialCount=6))
    world.finish()
    edit(world, space(0, 0.5, ("a", "b"), maxTrialCount=8))
    world.finish()
    found = seen(world)
    lost = sum(1 for t in found.trials[:6] if t.params["x"] > 0.5 or t.params["kind"] == "c")
    note = f"6 of 8 trials were drawn from another search space than that of today; {lost} of them lie outside"
    assert any(c.text.startswith(note) for c in checks(view_of(found.spec, found.status, found.trials, 0.0)))
    shown = found.trials[0].as_json()
    assert shown["space"] == {"x": {"min": 0.0, "max": 1.0}, "kind": {"list": ["a", "b", "c"]}}
    assert from_json(shown).space == shown["space"] and "space" not in found.trials[7].as_json()
    console = Console(width=200, record=True, file=StringIO())
    console.print(trials_table(found.spec, found.trials))
    assert "trial 0: drawn from x 0 to 1, kind a | b | c" in console.export_text()
    world.start()
    assert note in world.study.notes[0]


def test_a_search_that_had_tried_every_point_goes_on_once_there_are_more() -> None:
    one = {"name": "x", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 2}}
    found = space(parameters=[one])
    found["spec"]["parameters"] = [one]
    world = World(yaml.safe_dump(found), lambda launch: Run((f"loss={launch.params['x']}".encode(),)))
    assert world.finish().reason == "SearchSpaceExhausted"
    found["spec"]["parameters"] = [{**one, "feasibleSpace": {"min": 1, "max": 4}}]
    edit(world, found)
    assert world.finish().reason == "SearchSpaceExhausted"
    assert sorted(t.params["x"] for t in world.stored()) == [1, 2, 3, 4]


def test_an_edit_that_leaves_a_point_to_try_first_outside_is_refused_with_its_path() -> None:
    world = world_of(space(warmStart={"points": [{"x": 0.75}]}))
    with pytest.raises(SpecError, match=r"spec\.warmStart\.points\[0\]\.x: .*outside the feasible space of 'x'"):
        edit(world, space(0, 0.5, warmStart={"points": [{"x": 0.75}]}))


def test_a_refused_edit_says_why_and_leaves_the_study_as_it_was() -> None:
    world = world_of(space(algorithm=sampler("cmaes")))
    with pytest.raises(
        StudyMismatch, match=r"spec\.parameters\[0\]\.feasibleSpace: the sampler cmaes keeps a distr"
    ):
        edit(world, space(0, 2, algorithm=sampler("cmaes")))
    assert seen(world).spec.parameters[0].high == 1
