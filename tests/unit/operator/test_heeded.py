"""What is heeded of an edit that is refused: nothing that uses more, and all that uses less."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given

from kubetuna.experiment.model import Experiment
from kubetuna_operator.experiment.heeded import LIMITS, heeded
from tests.apiserver.lab import Lab, hangs
from tests.local.runs import experiment
from tests.odd import mutated

BUDGET = {"gpuHours": 2, "wallClock": "2h", "trialTimeout": "10m"}
ACCEPTED: dict[str, Any] = json.loads(
    experiment("", maxTrialCount=8, parallelTrialCount={"min": 2, "max": 4}, maxFailedTrialCount=6, budget=BUDGET)
)
MISTAKE = {"parameters": [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 1, "max": 0}}]}


def asked(**spec: Any) -> dict[str, Any]:
    """A spec with a mistake in it."""
    return {**copy.deepcopy(ACCEPTED["spec"]), **MISTAKE, **spec}


def limits(spec: Experiment) -> list[float | None]:
    """Trials at a time, failed, in all; hours of GPUs, seconds of all, seconds of one."""
    return [limit(spec) for limit in LIMITS.values()]


@pytest.mark.parametrize(
    ("edit", "wanted"),
    [
        ({}, [4, 6, 8, 2, 7200, 600]),
        ({"maxTrialCount": 7}, [4, 6, 7, 2, 7200, 600]),
        ({"maxTrialCount": 3}, [3, 3, 3, 2, 7200, 600]),
        ({"parallelTrialCount": 1, "maxFailedTrialCount": 2}, [1, 2, 8, 2, 7200, 600]),
        ({"budget": {**BUDGET, "gpuHours": 1}}, [4, 6, 8, 1, 7200, 600]),
        ({"budget": {"gpuHours": "many", "wallClock": "1h"}}, [4, 6, 8, 2, 3600, 600]),
        ({"budget": {"gpuHours": 3, "trialTimeout": "1m"}, "maxTrialCount": 9}, [4, 6, 8, 2, 7200, 60]),
        ({"budget": "none", "maxTrialCount": "3", "parallelTrialCount": {"max": 0}}, [4, 6, 8, 2, 7200, 600]),
    ],
)
def test_only_what_uses_less_is_taken_of_a_spec_that_is_refused(edit: dict[str, Any], wanted: list[float]) -> None:
    assert limits(heeded(ACCEPTED, asked(**edit))) == wanted


def test_a_mistake_beside_a_halt_is_no_way_around_it() -> None:
    found = heeded(ACCEPTED, asked(suspend=True, suspendPolicy="stop", maxTrialCount=1))
    assert (found.suspend, found.suspend_policy, found.max_trials) == (True, "stop", 1)
    assert heeded(ACCEPTED, asked(shutdown=True, suspend="perhaps")).shutdown


@given(mutated([asked(maxTrialCount=3, suspend=True)]))
def test_whatever_is_asked_nothing_is_raised(spec: dict[str, Any]) -> None:
    for limit, before in zip(limits(heeded(ACCEPTED, spec)), [4, 6, 8, 2, 7200, 600], strict=True):
        assert limit is not None and limit <= before


def test_a_budget_that_is_lowered_beside_a_mistake_ends_what_runs(lab: Lab) -> None:
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=2)
    lab.until(lab.running(2))
    lab.apply(maxTrialCount=2, budget={"wallClock": "1s"}, **MISTAKE)
    lab.ended()
    assert [(t.state, t.outcome) for t in lab.trials()] == [("PRUNED", "Stopped")] * 2
    assert lab.conditions()["Accepted"][0] == "False"
