"""The points of a grid in the order of a seed, none of them made before it is asked for.

A point is known by its rank in the product of all values, the first parameter's counting most. One rank takes four
bytes, where a point takes hundreds.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

from kubetuna.experiment.model import Experiment, Value
from kubetuna.experiment.steps import upper_bound, values_of
from kubetuna.search.space import exists, limits, ordered, ranked

Point = dict[str, Value]


class Grid(Sequence[Point]):
    """Every point of a finite space that exists and violates no constraint, shuffled."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self._parameters = ordered(experiment)
        self._values = [values_of(parameter) or () for parameter in self._parameters]
        self._ranks = array("I", _ranks(experiment))
        random.Random(seed).shuffle(self._ranks)

    def __len__(self) -> int:
        return len(self._ranks)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | Sequence[Point]:
        if isinstance(index, slice):
            return [self._point(rank) for rank in self._ranks[index]]
        return self._point(self._ranks[index])

    def _point(self, rank: int) -> Point:
        digits = []
        for values in reversed(self._values):
            rank, digit = divmod(rank, len(values))
            digits.append(digit)
        point: Point = {}
        for parameter, values, digit in zip(self._parameters, self._values, reversed(digits), strict=True):
            if exists(parameter, point):
                point[parameter.name] = values[digit]
        return point


def size(experiment: Experiment) -> int:
    """How many points the grid has."""
    return sum(1 for _ in _ranks(experiment))


def _ranks(experiment: Experiment) -> Iterable[int]:
    if limits(experiment):
        return (rank for rank, _ in ranked(experiment))
    return range(upper_bound(experiment) or 0)
