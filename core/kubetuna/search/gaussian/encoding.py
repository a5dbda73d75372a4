"""Parameters as points of a cube in which distance means something, and back.

A range keeps its place between its bounds, on the logarithmic scale where it is searched so. A list of numbers
keeps their order, since 16, 32 and 64 are steps of one knob. Any other choice is its index, which is only ever
compared for being the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from kubetuna.search.optuna_internals import contains

Array = npt.NDArray[np.float64]

# A range of no more values is searched value by value; of more it is smooth enough to follow a slope.
LISTED = 64
# Places are kept to this: what another processor makes of the last digits shall not change a proposal.
FINENESS = 2.0**-20
# Values of one parameter that are tried from a point: all of so many, else those nearby.
TRIED_FROM_A_POINT = 16
_NEARBY = (-8, -4, -2, -1, 1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter. ``places`` are where its ``values`` lie, in their order; without them, anywhere in 0 to 1."""

    distribution: BaseDistribution
    places: Array | None = None
    values: tuple[Any, ...] = ()
    nominal: bool = False

    def place(self, value: Any) -> float:
        """Where a value of the distribution lies."""
        if isinstance(self.distribution, CategoricalDistribution):
            assert self.places is not None
            choice = self.distribution.choices[int(self.distribution.to_internal_repr(value))]
            return float(self.places[next(i for i, own in enumerate(self.values) if own is choice)])
        return _share(self.distribution, float(value))

    def value(self, place: float) -> Any:
        """The value nearest to a place."""
        if self.places is not None:
            return self.values[int(np.argmin(np.abs(self.places - place)))]
        return _at(self.distribution, place)

    def snapped(self, places: Array) -> Array:
        """The nearest places that hold a value."""
        if self.places is not None:
            nearest: Array = self.places[np.abs(places[:, None] - self.places).argmin(axis=1)]
            return nearest
        fine: Array = np.clip(np.round(places / FINENESS) * FINENESS, 0.0, 1.0) + 0.0
        if isinstance(self.distribution, FloatDistribution) and self.distribution.step is None:
            return fine
        return np.array([_share(self.distribution, _at(self.distribution, p)) for p in fine.tolist()])

    def others(self, place: float) -> Array:
        """The places that are tried in turn from one of them; none of an axis that is followed by its slope."""
        if self.places is None:
            return np.empty(0)
        at = int(np.argmin(np.abs(self.places - place)))
        if self.nominal or len(self.places) <= TRIED_FROM_A_POINT:
            return np.delete(self.places, at)
        return self.places[[at + step for step in _NEARBY if 0 <= at + step < len(self.places)]]


def axis(distribution: BaseDistribution) -> Axis:
    """The axis of a parameter."""
    if isinstance(distribution, CategoricalDistribution):
        return _choices(distribution)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    values = _listed(distribution)
    if values is None:
        return Axis(distribution)
    places = np.array([_share(distribution, float(value)) for value in values])
    return Axis(distribution, places, values)


def _choices(distribution: CategoricalDistribution) -> Axis:
    choices = distribution.choices
    if all(isinstance(c, int | float) and not isinstance(c, bool) and math.isfinite(c) for c in choices):
        ordered: tuple[Any, ...] = tuple(sorted(choices, key=lambda c: float(c or 0)))
        return Axis(distribution, np.linspace(0.0, 1.0, len(ordered)), ordered)
    return Axis(distribution, np.arange(len(choices), dtype=float), choices, nominal=True)


def _listed(distribution: FloatDistribution | IntDistribution) -> tuple[Any, ...] | None:
    low, step = distribution.low, distribution.step
    if step is None or (distribution.high - low) / step >= LISTED - 0.5:
        return None
    return tuple(low + i * step for i in range(round((distribution.high - low) / step) + 1))


def _share(distribution: Any, value: float) -> float:
    """How far a value is on the way from the lower to the upper bound."""
    low, high = distribution.low, distribution.high
    if low == high:
        return 0.0
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def _at(distribution: Any, share: float) -> Any:
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** share if distribution.log else low + share * (high - low)
    if distribution.step is not None:
        value = low + round((value - low) / distribution.step) * distribution.step
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


class Encoding:
    """A space as a cube with one axis for each parameter."""

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.space = dict(space)
        self.axes = [axis(distribution) for distribution in space.values()]
        # How many columns each axis takes where its choices are only alike or not; 0 for numbers.
        self.choices = tuple(len(a.values) if a.nominal else 0 for a in self.axes)
        self.smooth = np.array([i for i, a in enumerate(self.axes) if a.places is None], dtype=int)
        self.listed = [i for i, a in enumerate(self.axes) if a.places is not None]

    def point(self, params: Mapping[str, Any]) -> Array | None:
        """The point of a trial; None where it lacks a parameter or has one outside the space."""
        try:
            if not all(contains(d, params[name]) for name, d in self.space.items()):
                return None
            places = np.array([a.place(params[name]) for a, name in zip(self.axes, self.space, strict=True)])
            return np.asarray(self.snapped(places[None, :])[0])
        except (KeyError, ValueError, TypeError):
            return None

    def params(self, point: Array) -> dict[str, Any]:
        """The parameters at a point."""
        return {name: a.value(x) for name, a, x in zip(self.space, self.axes, point.tolist(), strict=True)}

    def snapped(self, points: Array) -> Array:
        """The nearest points that exist."""
        return np.stack([a.snapped(points[:, i]) for i, a in enumerate(self.axes)], axis=1)

    def drawn(self, rng: np.random.Generator, count: int) -> Array:
        """Points anywhere."""
        columns = [rng.random(count) if a.places is None else rng.choice(a.places, count) for a in self.axes]
        return self.snapped(np.stack(columns, axis=1))

    def near(self, rng: np.random.Generator, points: Array, count: int) -> Array:
        """Points near some of these: about two parameters differ, by little where there is such a thing."""
        found = points[rng.integers(len(points), size=count)].copy()
        changed = rng.random(found.shape) < max(2 / len(self.axes), 0.2)
        for index, one in enumerate(self.axes):
            steps = found[:, index] + rng.normal(0.0, 0.1, count)
            moved = rng.choice(one.places, count) if one.places is not None else np.clip(steps, 0.0, 1.0)
            found[:, index] = np.where(changed[:, index], moved, found[:, index])
        return self.snapped(found)

    def neighbours(self, point: Array) -> Array:
        """Every point that differs in one listed parameter."""
        found = []
        for index in self.listed:
            places = self.axes[index].others(float(point[index]))
            moved = np.repeat(point[None, :], len(places), axis=0)
            moved[:, index] = places
            found.append(moved)
        return np.concatenate(found) if found else np.empty((0, len(point)))
