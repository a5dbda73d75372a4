"""The axis of an objective, on which one diverged trial must not flatten all the others.

It is logarithmic over many magnitudes; else it leaves out far values on the worse side, and says how many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.analysis.report.text import label
from kubetuna.experiment.model import Objective

LOG_RATIO = 1000.0


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
        return f" {self.outside:,} far worse {verb} outside the chart: double-click it to see everything."


def value_axis(objective: Objective, values: Sequence[float]) -> ValueAxis:
    """An axis for these values of an objective: logarithmic over many magnitudes, else without far values."""
    layout: dict[str, Any] = {"title": {"text": label(objective.metric)}}
    if values and min(values) > 0 and max(values) / min(values) >= LOG_RATIO:
        return ValueAxis({**layout, "type": "log", "exponentformat": "e"})
    low, high = _near(sorted(values), objective.direction == "maximize")
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
