"""Functions whose best point has to keep limits that only a trial shows, with a known best allowed value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.search_tasks import BRANIN, TRAINING, Ask, Params, double, whole


@dataclass(frozen=True, slots=True)
class Limited:
    """``over`` is above 0 where a limit is violated; without an allowed point a search stands at ``worst``."""

    name: str
    parameters: tuple[dict[str, Any], ...]
    value: Callable[[Params], float]
    over: Callable[[Params], tuple[float, ...]]
    worst: float

    def excess(self, params: Params) -> float:
        """Of a point that is not allowed the worst."""
        return self.worst if max(self.over(params)) > 0 else min(self.value(params), self.worst)

    def followed(self, runs: Iterable[Ask]) -> list[float]:
        """The excess of the best allowed trial after each that ended."""
        found = [self.worst]
        for params, tell in runs:
            tell(self.value(params), self.over(params))
            found.append(min(found[-1], self.excess(params)))
        return found[1:]


def _disc(p: Params) -> tuple[float, ...]:
    """One of the three best points lies within."""
    return ((float(p["x"]) - 2.5) ** 2 + (float(p["y"]) - 7.5) ** 2 - 50,)


def _islands(p: Params) -> float:
    """Of Gardner and others (2014): the best allowed point has sin(x) = -1 and sin(y) = 0.95."""
    return math.sin(float(p["x"])) + float(p["y"]) + 1 - math.asin(0.95)


def _islands_over(p: Params) -> tuple[float, ...]:
    return (math.sin(float(p["x"])) * math.sin(float(p["y"])) + 0.95,)


_INCH = 0.0625


def _vessel(p: Params) -> float:
    """The cost of a pressure vessel (Sandgren 1990), in thousands above the best known one."""
    shell, head = _INCH * int(p["shell"]), _INCH * int(p["head"])
    radius, length = float(p["radius"]), float(p["length"])
    steel = 0.6224 * shell * radius * length + 1.7781 * head * radius**2
    welds = 3.1661 * shell**2 * length + 19.84 * shell**2 * radius
    return (steel + welds - 6059.7143) / 1000


def _vessel_over(p: Params) -> tuple[float, ...]:
    radius, length = float(p["radius"]), float(p["length"])
    volume = math.pi * radius**2 * length + 4 / 3 * math.pi * radius**3
    return (
        0.0193 * radius - _INCH * int(p["shell"]),
        0.00954 * radius - _INCH * int(p["head"]),
        1 - volume / 1_296_000,
    )


def _memory(p: Params) -> tuple[float, ...]:
    """What fits: a small batch of the best network does."""
    return (int(p["batch"]) * int(p["width"]) * int(p["layers"]) / (32 * 256 * 4) - 1,)


LIMITED = (
    Limited("branin in a disc", BRANIN.parameters, BRANIN.excess, _disc, 300.0),
    Limited("islands", (double("x", 0, 6), double("y", 0, 6)), _islands, _islands_over, 6.0),
    Limited(
        "pressure vessel",
        (whole("shell", 1, 99), whole("head", 1, 99), double("radius", 10, 200), double("length", 10, 200)),
        _vessel,
        _vessel_over,
        500.0,
    ),
    Limited("training that fits", TRAINING.parameters, TRAINING.excess, _memory, 2.0),
)
