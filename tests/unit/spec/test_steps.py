"""A float with a step is the number that a person would write, wherever it is met."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubetuna.experiment.expressions import parse_expression
from kubetuna.parsing.parse import parse_file_text
from kubetuna.parsing.warm_start import point_value
from kubetuna.search.samplers import Proposer
from kubetuna.search.space import distribution, iterate
from kubetuna.terminal.preview import preview
from kubetuna.trials.environment import bare
from tests.local.runs import experiment

NUMBERS = st.decimals(min_value=-1000, max_value=1000, places=4)
STEPS = st.decimals(min_value="0.0001", max_value=10, places=4)


def spec_of(low: Decimal, step: Decimal, count: int, name: str = "random") -> Any:
    space = {"min": float(low), "max": float(low + step * (count - 1)), "step": float(step)}
    algorithm = {"algorithmName": name, "algorithmSettings": [{"name": "seed", "value": 1}]}
    parameter = {"name": "x", "parameterType": "double", "feasibleSpace": space}
    return parse_file_text(experiment("", command=["a"], parameters=[parameter], algorithm=algorithm))


@settings(max_examples=60, deadline=None)
@given(NUMBERS, STEPS, st.integers(1, 30), st.sampled_from(["random", "tpe", "qmc"]))
def test_every_value_is_the_decimal_one(low: Decimal, step: Decimal, count: int, name: str) -> None:
    spec = spec_of(low, step, count, name)
    wanted = [float(low + step * k) for k in range(count)]
    assert [point["x"] for point in iterate(spec)] == wanted
    assert preview(spec)["points"] == count
    assert all(point_value(spec.parameters[0], value + 1e-8 * float(step)) == value for value in wanted)
    assert all(parse_expression(f"x == {value!r}").evaluate({"x": value}) for value in wanted)
    study = optuna.create_study()
    for ordinal in range(3):
        trial = study.ask()
        value = Proposer(spec, 1).propose(study, study.trials[-1], ordinal)["x"]
        assert value in wanted and json.loads(bare(value)) == value
        study.tell(trial, 1.0)


def test_a_condition_on_a_value_of_the_grid_holds_there() -> None:
    spec = spec_of(Decimal("0"), Decimal("0.1"), 6, "tpe")
    assert spec.parameters[0].high == 0.5
    assert 0.3 in [point["x"] for point in iterate(spec)]
    assert distribution(spec.parameters[0]).to_internal_repr(0.3) == 0.3


def test_a_range_of_a_billion_steps_is_not_laid_out_in_memory() -> None:
    spec = spec_of(Decimal("0"), Decimal("0.000001"), 500_000_001)
    assert preview(spec)["points"] == 500_000_001


@pytest.mark.parametrize("text", ["a + b == 3.3", "a + b <= 3.3", "3 * 0.1 == 0.3", "a / 3 * 3 == a"])
def test_sums_come_out_as_on_paper(text: str) -> None:
    assert parse_expression(text).evaluate({"a": 1.1, "b": 2.2})


def test_what_is_no_number_compares_with_nothing() -> None:
    assert not parse_expression("a <= 1 or a > 1 or a != 1").evaluate({"a": float("nan")})
