"""Axes that keep a chart readable: where values lie, on which scale, and what a category's place is.

Categories become whole numbers with named ticks, because plotly would take ``"64"`` and ``64`` for one and
the same, and ``true`` for 1. One diverged trial must not flatten all the others, so an axis of results leaves
out far values on the worse side, and says how many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.analysis.report.text import finite, label, scalar
from kubetuna.experiment.model import Experiment, Objective, Parameter, Scalar

LOG_RATIO = 1000.0
TICK_LIMIT = 12
SINGLE_PAD = 0.5


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The axis of an objective, and how many values lie outside of what it shows at first."""

    layout: dict[str, Any]
    outside: int = 0

    @property
    def note(self) -> str:
        """A word on what lies outside; empty where nothing does."""
        if not self.outside:
            return ""
        verb = "lies" if self.outside == 1 else "lie"
        return f" {self.outside:,} far worse {verb} outside the picture: double-click it to see everything."


def value_axis(objective: Objective, values: Sequence[float]) -> ValueAxis:
    """An axis for these values of an objective: logarithmic over many magnitudes, else without far values."""
    layout: dict[str, Any] = {"title": {"text": label(objective.metric)}}
    if values and min(values) > 0 and max(values) / min(values) >= LOG_RATIO:
        return ValueAxis({**layout, "type": "log", "exponentformat": "e"})
    low, high = _near(sorted(values), objective.sign < 0)
    outside = sum(1 for v in values if not low <= v <= high)
    if not outside:
        return ValueAxis(layout)
    pad = (high - low) * 0.05
    return ValueAxis({**layout, "range": [low - pad, high + pad]}, outside)


def _near(ordered: Sequence[float], maximize: bool) -> tuple[float, float]:
    """The range from the best value to three times the better nine tenths."""
    if len(ordered) < 5:
        return -math.inf, math.inf
    tenth = len(ordered) // 10 + 1
    if maximize:
        best, common = ordered[-1], ordered[tenth]
        low = best - 3 * (best - common)
        return (low, best) if low < best and ordered[0] < low else (-math.inf, math.inf)
    best, common = ordered[0], ordered[-1 - tenth]
    high = best + 3 * (common - best)
    return (best, high) if best < high < ordered[-1] else (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class ParameterAxis:
    """Where a parameter's values lie, for a chart's axis and on a scale from 0 to 1."""

    parameter: Parameter
    order: tuple[Scalar, ...]

    def position(self, value: object) -> float | None:
        """Where a value lies on the axis; None for one that has no place there."""
        if self.parameter.choices:
            return next((float(i) for i, c in enumerate(self.order) if same(c, value)), None)
        found = finite(value)
        return None if found is None or (self.parameter.log and found <= 0) else found

    def unit(self, value: object) -> float | None:
        """Where a value lies between the ends of its range: 0 to 1, or somewhat beyond after an edit."""
        place = self.position(value)
        if place is None:
            return None
        low, high = self._ends()
        if self.parameter.log and not self.parameter.choices:
            place, low, high = math.log(place), math.log(low), math.log(high)
        return 0.5 if high <= low else (place - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        if self.parameter.choices:
            return 0.0, float(len(self.order) - 1)
        return float(self.parameter.low or 0), float(self.parameter.high or 0)

    def ends(self) -> tuple[str, str]:
        """The labels of both ends."""
        if self.order:
            return label(scalar(self.order[0]), 14), label(scalar(self.order[-1]), 14)
        return label(scalar(self.parameter.low), 14), label(scalar(self.parameter.high), 14)

    def layout(self) -> dict[str, Any]:
        """As plotly's axis."""
        title = {"title": {"text": label(self.parameter.name)}}
        if self.parameter.choices:
            return {**title, **self._named()}
        low, high = self._ends()
        if not self.parameter.log:
            return {**title, **_padded(low, high), "nticks": 6}
        low, high = math.log10(low), math.log10(high)
        # Powers of ten alone: plotly's own in-between ticks read 2, 5, 2, 5.
        powers = {"dtick": max(1, round((high - low) / 4))} if high - low >= 2 else {"nticks": 5}
        return {**title, **_padded(low, high), "type": "log", "exponentformat": "e", **powers}

    def _named(self) -> dict[str, Any]:
        stride = -(-len(self.order) // TICK_LIMIT)
        places = range(0, len(self.order), stride)
        return {
            "tickvals": list(places),
            "ticktext": [label(scalar(self.order[i]), 12) for i in places],
            "range": [-SINGLE_PAD, len(self.order) - SINGLE_PAD],
            "zeroline": False,
        }


def _padded(low: float, high: float) -> dict[str, Any]:
    pad = (high - low) * 0.04 or SINGLE_PAD
    return {"range": [low - pad, high + pad]}


def same(a: object, b: object) -> bool:
    """Equality that tells ``true`` from 1, as YAML does."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def parameter_axis(parameter: Parameter) -> ParameterAxis:
    """The axis of a parameter; numbers among choices are put in order."""
    choices = parameter.choices
    if choices and all(finite(c) is not None for c in choices):
        choices = tuple(sorted(choices, key=lambda c: finite(c) or 0.0))
    return ParameterAxis(parameter, choices)


def parameter_axes(spec: Experiment) -> dict[str, ParameterAxis]:
    """The axis of each parameter."""
    return {p.name: parameter_axis(p) for p in spec.parameters}
