"""The values that a parameter can have, of a range with a step those that are written on paper.

Binary floating-point adds up to other numbers than decimal: 3 * 0.1 is not 0.3, and a condition on 0.3 would never
hold. So values are computed in decimal and rounded to a float once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import overload

from kubetuna.experiment.model import Experiment, Parameter, Value
from kubetuna.experiment.quantities import PAPER, exact


class Steps(Sequence[float]):
    """``low``, ``low + step`` and so on, up to ``high``; made when asked for, since there may be millions."""

    def __init__(self, low: float, high: float, step: float) -> None:
        self._low, self._step = exact(low), exact(step)
        self._count = self._index(high, ROUND_FLOOR) + 1

    def _index(self, value: float, rounding: str | None = None) -> int:
        return int(PAPER.divide(PAPER.subtract(exact(value), self._low), self._step).to_integral_value(rounding))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return float(PAPER.add(self._low, PAPER.multiply(self._step, Decimal(index % self._count))))

    def nearest(self, value: float) -> float:
        """The one next to a number."""
        return self[min(max(self._index(value), 0), self._count - 1)]


def steps_of(parameter: Parameter) -> Steps | None:
    """The values of a ``double`` with a step; None of any other parameter."""
    if parameter.choices or parameter.kind == "int" or not parameter.step:
        return None
    assert parameter.low is not None and parameter.high is not None
    return Steps(float(parameter.low), float(parameter.high), float(parameter.step))


def values_of(parameter: Parameter) -> Sequence[Value] | None:
    """Every value of a parameter; None where there is no end of them."""
    if parameter.choices:
        return parameter.choices
    assert parameter.low is not None and parameter.high is not None
    if parameter.kind == "int":
        return range(int(parameter.low), int(parameter.high) + 1, int(parameter.step or 1))
    return steps_of(parameter) or ([float(parameter.low)] if parameter.low == parameter.high else None)


def written(parameter: Parameter, value: Value) -> Value:
    """A value of a parameter as it would be written, whatever floating-point arithmetic made of it."""
    steps = steps_of(parameter)
    return value if steps is None or not isinstance(value, int | float) else steps.nearest(value)


def upper_bound(experiment: Experiment) -> int | None:
    """How many points the space has before conditions and constraints; None where there is no end of them."""
    total = 1
    for parameter in experiment.parameters:
        values = values_of(parameter)
        if values is None:
            return None
        total *= len(values)
    return total


def most_trials(experiment: Experiment) -> int | None:
    """How many trials there can be: no point of a finite space is tried twice; None: no limit."""
    bounds = (experiment.max_trials, upper_bound(experiment))
    return min((bound for bound in bounds if bound is not None), default=None)
