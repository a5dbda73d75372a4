"""The curve of a trial over all of its attempts, and the values that stand for it.

The first accepted value per step counts, over all attempts; lines without a step are numbered per attempt by
those that carry the objective; a step below the last one is kept and never pruned on. A trial's value of a metric
is the last that the latest attempt with any printed, unless its strategy is ``min`` or ``max``. The state is
small and JSON, so it is stored with the values that it led to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.logs.lines import STEP_LIMIT, MetricLine, SeriesPart

SERIES_POINTS = 1_000
SERIES_NAMES = 4


@dataclass(frozen=True, slots=True)
class Point:
    """An accepted value of the objective. ``in_order``: above every step before it, so pruners may see it."""

    step: int
    value: float
    in_order: bool


class Curve:
    """Mutable; one per trial. ``objective`` is the metric whose values make the curve."""

    def __init__(self, objective: str, strategies: Mapping[str, str], state: Mapping[str, Any]) -> None:
        self._objective = objective
        self._strategies = strategies
        self._ordinal: int = state.get("ordinal", 0)
        self._last: int = state.get("last", -1)
        self.latest: dict[str, float] = dict(state.get("latest", {}))
        self.invalid: dict[str, str] = dict(state.get("invalid", {}))
        self.lowest: dict[str, float] = dict(state.get("lowest", {}))
        self.highest: dict[str, float] = dict(state.get("highest", {}))

    def begin_attempt(self) -> None:
        """Number lines without a step from 0 again."""
        self._ordinal = 0

    def accept(self, line: MetricLine, known_steps: Mapping[int, float]) -> Point | None:
        """Take a line in. Returns the new point of the curve, if it makes one.

        ``known_steps`` are the steps that the study holds already.
        """
        self._keep(line)
        if self._objective not in line.values and self._objective not in line.invalid:
            return None
        step = line.step if line.step is not None else self._ordinal
        self._ordinal += 1
        if self._objective in line.invalid or step in known_steps or step > STEP_LIMIT:
            return None
        in_order = step > self._last
        self._last = max(self._last, step)
        return Point(step, line.values[self._objective], in_order)

    def _keep(self, line: MetricLine) -> None:
        for name, value in line.values.items():
            self.invalid.pop(name, None)
            self.latest[name] = value
            self.lowest[name] = min(value, self.lowest.get(name, value))
            self.highest[name] = max(value, self.highest.get(name, value))
        for name, text in line.invalid.items():
            self.latest.pop(name, None)
            self.invalid[name] = text

    def values(self) -> dict[str, float]:
        """Each metric's value by its strategy, where it has one."""
        chosen = {"min": self.lowest, "max": self.highest}
        names = [*self.latest, *(n for n in self.lowest if n not in self.latest)]
        picked = {n: chosen.get(self._strategies.get(n, "latest"), self.latest).get(n) for n in names}
        return {name: value for name, value in picked.items() if value is not None}

    def to_state(self) -> dict[str, Any]:
        """What to store, as JSON."""
        state: dict[str, Any] = {"ordinal": self._ordinal, "last": self._last, "latest": dict(self.latest)}
        if self.invalid:
            state["invalid"] = dict(self.invalid)
        if "min" in self._strategies.values():
            state["lowest"] = dict(self.lowest)
        if "max" in self._strategies.values():
            state["highest"] = dict(self.highest)
        return state


def joined(series: Mapping[str, Sequence[float]], part: SeriesPart) -> dict[str, list[float]]:
    """The series with a part put at its place; beyond the bounds on names and points nothing is taken."""
    result = {name: list(values) for name, values in series.items()}
    held = result.get(part.name, [])
    room = SERIES_POINTS - sum(len(v) for n, v in result.items() if n != part.name)
    if part.start > len(held) or (part.name not in result and len(result) >= SERIES_NAMES):
        return result
    result[part.name] = [*held[: part.start], *part.values][: max(0, room)]
    return result
