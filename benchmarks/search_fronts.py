"""Two or three objectives at once, with a known best front: judged is what is missing of what it dominates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.search_tasks import BRANIN, TRAINING, Ask, Params, double

Pair = tuple[float, float]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Fronted:
    """``best`` is the area, or volume, between the best front and ``corner``."""

    name: str
    parameters: tuple[dict[str, Any], ...]
    values: Callable[[Params], tuple[float, ...]]
    corner: tuple[float, ...]
    best: float

    @property
    def objectives(self) -> int:
        """How many there are."""
        return len(self.corner)

    def followed(self, runs: Iterable[Ask]) -> list[float]:
        """The share of the area that is missing after each trial that ended."""
        seen, found = list[tuple[float, ...]](), list[float]()
        for params, tell in runs:
            seen.append(self.values(params))
            tell(seen[-1])
            found.append(max(1 - dominated(seen, self.corner) / self.best, 0.0))
        return found


def dominated(points: Sequence[tuple[float, ...]], corner: tuple[float, ...]) -> float:
    """What they dominate up to the corner, smaller being better; of three objectives in slabs."""
    if len(corner) == 2:
        return _area(points, corner)
    inside = sorted((p for p in points if p[-1] < corner[-1]), key=lambda p: p[-1])
    floors = [*(p[-1] for p in inside), corner[-1]]
    thick = [above - below for below, above in pairwise(floors)]
    return sum(height * _area(inside[: i + 1], corner) for i, height in enumerate(thick))


def _area(points: Sequence[tuple[float, ...]], corner: tuple[float, ...]) -> float:
    total, height = 0.0, corner[1]
    for first, second, *_ in sorted(points):
        if first < corner[0] and second < height:
            total += (corner[0] - first) * (height - second)
            height = second
    return total


def _zdt(p: Params) -> Pair:
    """ZDT1 of Zitzler and others (2000), of six numbers."""
    x = [float(p[f"x{i}"]) for i in range(6)]
    far = 1 + 9 * sum(x[1:]) / 5
    return x[0], far * (1 - math.sqrt(x[0] / far))


def _dtlz(p: Params) -> Triple:
    """DTLZ2 of Deb and others (2002), of six numbers: the best front is an eighth of a sphere."""
    x, y, *rest = (float(p[f"x{i}"]) for i in range(6))
    radius, first, second = 1 + sum((r - 0.5) ** 2 for r in rest), x * math.pi / 2, y * math.pi / 2
    near = radius * math.cos(first)
    return near * math.cos(second), near * math.sin(second), radius * math.sin(first)


def _branin_currin(p: Params) -> Pair:
    x, y = (float(p["x"]) + 5) / 15, float(p["y"]) / 15
    falling = 1 - math.exp(-1 / (2 * y)) if y > 0 else 1.0
    currin = falling * (2300 * x**3 + 1900 * x**2 + 2092 * x + 60) / (100 * x**3 + 500 * x**2 + 4 * x + 20)
    return BRANIN.excess(p) + 0.39788735, currin


def _size(width: int, layers: int) -> float:
    return math.log2(width * width * layers)


def _training_and_size(p: Params) -> Pair:
    """How good it gets, and the logarithm of its size."""
    return TRAINING.excess(p), _size(int(p["width"]), int(p["layers"]))


def _best_trainings() -> list[Pair]:
    """All else at its best."""
    return [
        (0.02 * math.log2(width / 256) ** 2 + 0.01 * (layers - 4) ** 2, _size(width, layers))
        for width in range(16, 1025)
        for layers in range(1, 9)
    ]


# Beyond the worst of both on the best front.
_CORNER = (1.0, 23.5)
FRONTED = (
    Fronted("zdt1", tuple(double(f"x{i}", 0, 1) for i in range(6)), _zdt, (1.1, 6.0), 6 - 1 / 3 + 0.6),
    # The area is BoTorch's.
    Fronted("branin-currin", BRANIN.parameters, _branin_currin, (18.0, 6.0), 59.36011874867746),
    Fronted(
        "training and its size",
        TRAINING.parameters,
        _training_and_size,
        _CORNER,
        dominated(_best_trainings(), _CORNER),
    ),
    Fronted(
        "dtlz2, three objectives",
        tuple(double(f"x{i}", 0, 1) for i in range(6)),
        _dtlz,
        (1.1, 1.1, 1.1),
        1.1**3 - math.pi / 6,
    ),
)
