"""The search space in Optuna's terms: directions, distributions, which parameters exist where, and finite grids.

Parameters are looked at in an order in which each comes after those that its condition names, so nested
conditions hold, whatever their order in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from statistics import NormalDist
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from kubetuna.experiment.model import Direction, Experiment, Parameter, Value, sign_of
from kubetuna.experiment.steps import Steps, upper_bound, values_of, written

# Beyond this it is no grid that anyone finishes.
GRID_LIMIT = 1_000_000
# Of characters of expressions, evaluated for all points together: a few seconds.
EFFORT_LIMIT = 10_000_000


def study_direction(direction: Direction) -> StudyDirection:
    """Optuna's name of a direction."""
    return StudyDirection[direction.upper()]


def direction_of(direction: StudyDirection) -> Direction:
    """Our name of a direction of Optuna's, which has one more, for none: that minimises."""
    return "maximize" if direction is StudyDirection.MAXIMIZE else "minimize"


def study_sign(direction: StudyDirection) -> float:
    """What makes smaller better."""
    return sign_of(direction_of(direction))


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of a parameter; a ``step`` lowers ``high`` to the last point of its grid."""
    if parameter.choices:
        return CategoricalDistribution([stored(choice) for choice in parameter.choices])
    assert parameter.low is not None and parameter.high is not None
    if parameter.kind == "int":
        step = 1 if parameter.log else int(parameter.step or 1)
        low, high = int(parameter.low), int(parameter.high)
        return IntDistribution(low, low + (high - low) // step * step, log=parameter.log, step=step)
    low_f, high_f = float(parameter.low), float(parameter.high)
    if parameter.step is None:
        return FloatDistribution(low_f, high_f, log=parameter.log)
    return FloatDistribution(low_f, Steps(low_f, high_f, float(parameter.step))[-1], step=float(parameter.step))


UNIT = FloatDistribution(0.0, 1.0)
# Katib's: the range is six of these wide.
_DEVIATIONS = 3.0


def bell(parameter: Parameter, share: float) -> float | int:
    """The value below which this share of a normal distribution over a parameter's range lies, cut at its ends."""
    assert parameter.low is not None and parameter.high is not None
    usual, tail = NormalDist(), NormalDist().cdf(-_DEVIATIONS)
    place = (usual.inv_cdf(tail + share * (1 - 2 * tail)) / _DEVIATIONS + 1) / 2
    low, high = float(parameter.low), float(parameter.high)
    value = low * (high / low) ** place if parameter.log else low + (high - low) * place
    value = min(max(value, low), high)
    if parameter.kind != "int":
        return Steps(low, high, float(parameter.step)).nearest(value) if parameter.step else value
    step = int(parameter.step or 1)
    last = (int(parameter.high) - int(parameter.low)) // step
    return int(parameter.low) + min(round((value - low) / step), last) * step


def space_of(experiment: Experiment) -> dict[str, BaseDistribution]:
    """The distributions of all parameters."""
    return {p.name: distribution(p) for p in ordered(experiment)}


# What a list or a mapping is in Optuna's terms, whose samplers, importances and dashboard hash every choice: text.
_JSON = "json:"


def stored(value: Value) -> str | int | float | bool | None:
    """A parameter's value as Optuna keeps it."""
    if isinstance(value, list | dict) or (isinstance(value, str) and value.startswith(_JSON)):
        return _JSON + json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value


def restored(value: Any) -> Any:
    """The value that was stored so. A text that only looks like it is older than this way of storing."""
    if isinstance(value, str) and value.startswith(_JSON):
        with suppress(ValueError):
            return json.loads(value.removeprefix(_JSON))
    return value


def shown(dist: BaseDistribution) -> dict[str, Any]:
    """The feasible space that a distribution stands for, as a spec has it."""
    if isinstance(dist, CategoricalDistribution):
        return {"list": [restored(choice) for choice in dist.choices]}
    assert isinstance(dist, FloatDistribution | IntDistribution)
    return {"min": dist.low, "max": dist.high}


def point_of(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters of a trial that an experiment of ours made."""
    return {name: restored(value) for name, value in trial.params.items()}


def ordered(experiment: Experiment) -> tuple[Parameter, ...]:
    """Parameters such that each comes after those that its condition names; else in the file's order."""
    waiting = list(experiment.parameters)
    names = {p.name for p in waiting}
    done: list[Parameter] = []
    while waiting:
        known = {p.name for p in done}
        ready = next((p for p in waiting if p.when is None or p.when.names & names <= known), waiting[0])
        waiting.remove(ready)
        done.append(ready)
    return tuple(done)


def exists(parameter: Parameter, values: Mapping[str, Value]) -> bool:
    """Whether a parameter exists, given the values of those before it."""
    return parameter.when is None or bool(parameter.when.evaluate(values))


def satisfies(experiment: Experiment, values: Mapping[str, Value]) -> str | None:
    """The text of the first constraint over parameters that a point violates; None if it violates none."""
    for constraint in experiment.constraints:
        expression = constraint.expression
        if constraint.over == "parameters" and expression.applies(values) and not expression.evaluate(values):
            return constraint.text
    return None


def limits(experiment: Experiment) -> list[str]:
    """The texts of what is evaluated at each point: conditions, and constraints over parameters."""
    conditions = [p.when.text for p in experiment.parameters if p.when is not None]
    return conditions + [c.text for c in experiment.constraints if c.over == "parameters"]


def effort(experiment: Experiment) -> int:
    """What it takes to go through a finite space, in characters of expressions evaluated."""
    return (upper_bound(experiment) or 0) * sum(map(len, limits(experiment)))


def cardinality(experiment: Experiment) -> int | None:
    """How many points the space has, conditions and constraints heeded where it is small; None: endless."""
    bound = upper_bound(experiment)
    if bound is None or bound > GRID_LIMIT // 100 or effort(experiment) > EFFORT_LIMIT:
        return bound
    return sum(1 for _ in iterate(experiment))


def iterate(experiment: Experiment) -> Iterator[dict[str, Value]]:
    """Every point of a finite space once: conditions collapse what they hide, constraints drop points."""
    return (point for _, point in ranked(experiment))


def ranked(experiment: Experiment) -> Iterator[tuple[int, dict[str, Value]]]:
    """The same, each point with its rank in the product of all values."""
    for rank, point in _extend(ordered(experiment), {}, 0):
        if satisfies(experiment, point) is None:
            yield rank, point


def _extend(
    parameters: Sequence[Parameter], values: dict[str, Value], rank: int
) -> Iterator[tuple[int, dict[str, Value]]]:
    if not parameters:
        yield rank, dict(values)
        return
    first, rest = parameters[0], parameters[1:]
    every = values_of(first) or ()
    rank *= len(every)
    if not exists(first, values):
        yield from _extend(rest, values, rank)
        return
    for digit, value in enumerate(every):
        yield from _extend(rest, {**values, first.name: value}, rank + digit)


def identity(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> str:
    """What two points share only where they are the same; whatever floating-point arithmetic made of them."""
    known = {p.name: p for p in parameters}
    plain = {name: written(known[name], v) if name in known else v for name, v in values.items()}
    return json.dumps(plain, sort_keys=True)
