"""Two objectives at once, with a known best front: judged is what is missing of the area that it dominates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.search_tasks import BRANIN, TRAINING, Ask, Params, double

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Fronted:
    """``best`` is the area between the best front and ``corner``."""

    name: str
    parameters: tuple[dict[str, Any], ...]
    values: Callable[[Params], Pair]
    corner: Pair
    best: float

    def followed(self, runs: Iterable[Ask]) -> list[float]:
        """The share of the area that is missing after each trial that ended."""
        seen, found = list[Pair](), list[float]()
        for params, tell in runs:
            seen.append(self.values(params))
            tell(seen[-1])
            found.append(max(1 - area(seen, self.corner) / self.best, 0.0))
        return found


def area(points: Sequence[Pair], corner: Pair) -> float:
    """What they dominate up to the corner, smaller being better."""
    total, height = 0.0, corner[1]
    for first, second in sorted(points):
        if first < corner[0] and second < height:
            total += (corner[0] - first) * (height - second)
            height = second
    return total


def _zdt(p: Params) -> Pair:
    """ZDT1 of Zitzler and others (2000), of six numbers."""
    x = [float(p[f"x{i}"]) for i in range(6)]
    far = 1 + 9 * sum(x[1:]) / 5
    return x[0], far * (1 - math.sqrt(x[0] / far))


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
        area(_best_trainings(), _CORNER),
    ),
)
