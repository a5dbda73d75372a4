"""The default search: which sampler proposes a trial, what is said of it, and that older studies keep theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy

from kubetuna.analysis.report.page import render_report
from kubetuna.analysis.report.view import view_of
from kubetuna.experiment.automatic import sampler_of
from kubetuna.experiment.model import Experiment
from kubetuna.local.runner import look_by_name
from kubetuna.parsing.parse import parse_experiment, parse_file_text
from kubetuna.study.begun import as_begun
from kubetuna.terminal.preview import preview, preview_text
from kubetuna.terminal.tables import status_rows
from kubetuna.trials.records import EXPERIMENT, USUAL_ALGORITHM
from tests.local.runs import experiment
from tests.unit.algorithms.test_search import NUMBERS, SPACE, bowl, run
from tests.world import World

TWO = [{"metric": "loss", "direction": "minimize"}, {"metric": "acc", "direction": "maximize"}]
GOAL = {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["acc"]}


def unnamed(**spec: Any) -> str:
    """An experiment that names no algorithm; a field that is None is absent."""
    document = json.loads(experiment("", parameters=NUMBERS))
    changed = {**document["spec"], **spec, "algorithm": None}
    document["spec"] = {name: value for name, value in changed.items() if value is not None}
    return json.dumps(document)


def wide(count: int) -> list[dict[str, Any]]:
    return [{**NUMBERS[0], "name": f"p{i}"} for i in range(count)]


@pytest.mark.parametrize(
    ("spec", "samplers", "says"),
    [
        ({"maxTrialCount": 100}, "gp gp tpe", "Gaussian process: 3 parameters, 100 trials"),
        (
            {"maxTrialCount": 101},
            "gp gp tpe",
            "Gaussian process until trial 100, then TPE: 3 parameters, 101 trials",
        ),
        (
            {"maxTrialCount": None, "budget": {"wallClock": "1h"}},
            "gp gp tpe",
            "Gaussian process until trial 100, then TPE: 3 parameters, no limit of trials",
        ),
        ({"parameters": SPACE}, "tpe tpe tpe", "TPE: 2 of 5 parameters with a condition, 4 trials"),
        (
            {"objective": None, "objectives": TWO},
            "gp gp tpe",
            "Gaussian process: 3 parameters, 2 objectives, 4 trials",
        ),
        ({"parameters": wide(30)}, "gp gp tpe", "Gaussian process: 30 parameters, 4 trials"),
        ({"parameters": wide(31)}, "tpe tpe tpe", "TPE: 31 parameters, more than 30, 4 trials"),
        (
            {"objective": GOAL, "constraints": ["acc <= 0.5"]},
            "gp gp tpe",
            "Gaussian process: 3 parameters, 4 trials, what violates a constraint over metrics is avoided",
        ),
    ],
)
def test_it_chooses_by_the_space_and_the_trials_number_and_says_so(
    spec: dict[str, Any], samplers: str, says: str
) -> None:
    found = parse_file_text(unnamed(**spec))
    assert found.algorithm.name == "auto"
    assert " ".join(sampler_of(found, number) for number in (0, 99, 100)) == samplers
    assert preview(found)["search"] == says and f"  search: {says}\n" in preview_text(preview(found))


def test_an_edit_of_the_trials_to_make_changes_no_proposal() -> None:
    few, many = (parse_file_text(unnamed(maxTrialCount=n)) for n in (20, 2000))
    assert [sampler_of(few, n) for n in range(200)] == [sampler_of(many, n) for n in range(200)]


def test_it_can_be_named_with_a_seed_and_a_named_one_says_nothing() -> None:
    named = experiment("", algorithm={"algorithmName": "auto", "algorithmSettings": [{"name": "seed", "value": 5}]})
    assert (parse_file_text(named).algorithm.name, parse_file_text(named).algorithm.seed) == ("auto", 5)
    assert preview(parse_file_text(experiment("")))["search"] is None


def test_it_proposes_the_same_after_restarts_and_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetuna.experiment.automatic.HANDED_OVER", 14)
    text = unnamed(maxTrialCount=18, parallelTrialCount=1)
    calm, shaken = run(text), run(text, restart=3)
    first, second = ([t.params for t in w.stored()] for w in (calm, shaken))
    assert first == second and len(first) == 18
    # Handed over where it was not, the search would have gone another way.
    monkeypatch.setattr("kubetuna.experiment.automatic.HANDED_OVER", 100)
    third = [t.params for t in run(text).stored()]
    assert third[:14] == first[:14] and third[14:] != first[14:]


def test_the_status_and_the_report_say_what_is_done() -> None:
    world = run(unnamed(maxTrialCount=3))
    seen = look_by_name("small", f"sqlite:///{world.folder.name}/study.db")
    says = "Gaussian process: 3 parameters, 3 trials"
    assert ("search", says) in status_rows(seen.spec, seen.status)
    assert says in render_report(view_of(seen.spec, seen.status, seen.trials, 0.0), (), (), ())


def test_katibs_kind_keeps_its_own_rule() -> None:
    document = json.loads(unnamed()) | {"apiVersion": "kubeflow.org/v1beta1"}
    assert parse_experiment(document).algorithm.name == "tpe"


def test_a_store_of_an_older_version_is_gone_on_with_by_tpe() -> None:
    text = unnamed(maxTrialCount=16, parallelTrialCount=1)
    named = json.loads(text)
    named["spec"]["algorithm"] = {"algorithmName": "tpe"}
    by_tpe = [t.params for t in run(json.dumps(named)).stored()]
    world = World(text, bowl)
    with world.database.begin() as connection:
        # As it was written before there was a choice: without what is usual.
        gone = connection.execute(
            sqlalchemy.text("DELETE FROM study_system_attributes WHERE key = :key"), {"key": USUAL_ALGORITHM}
        )
        assert gone.rowcount == 1
    world.start()
    world.finish()
    assert [t.params for t in world.stored()] == by_tpe
    seen = look_by_name("small", f"sqlite:///{world.folder.name}/study.db")
    assert seen.spec.algorithm.name == "tpe" and "search" not in seen.status


@pytest.mark.parametrize("attrs", [{}, {USUAL_ALGORITHM: "tpe"}])
def test_a_study_that_was_begun_without_it_goes_on_as_it_was(attrs: dict[str, Any]) -> None:
    spec = parse_file_text(unnamed(maxTrialCount=100))
    begun = as_begun(spec, {EXPERIMENT: spec.raw, **attrs})
    assert begun.algorithm.name == "tpe" and {sampler_of(begun, n) for n in range(9)} == {"tpe"}
    assert preview(begun)["search"] is None


def test_a_new_study_keeps_what_it_was_begun_with_and_a_named_one_its_name() -> None:
    spec = parse_file_text(unnamed())
    assert as_begun(spec, {}) == spec == as_begun(spec, {EXPERIMENT: spec.raw, USUAL_ALGORITHM: "auto"})
    named: Experiment = parse_file_text(experiment(""))
    assert as_begun(named, {EXPERIMENT: named.raw}).algorithm.name == "random"
