"""The axis of an objective, on which one diverged trial must not flatten all the others.

It is logarithmic over many magnitudes; else it leaves out far values on the worse side, and says how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kubetuna.analysis.report.text import label
from kubetuna.experiment.model import Objective
from kubetuna.experiment.units import count

LOG_RATIO = 1000.0


class ValueAxis(NamedTuple):
    """The axis of an objective, with a note on the values outside of what it shows at first."""

    layout: dict[str, Any]
    outside: str = ""

    @property
    def note(self) -> str:
        """For a page, where the rest can be seen too."""
        return f" {self.outside}. Double-click the chart to see all." if self.outside else ""


def value_axis(objective: Objective, values: Sequence[float]) -> ValueAxis:
    """An axis for these values of an objective: logarithmic over many magnitudes, else without far values."""
    layout: dict[str, Any] = {"title": {"text": label(objective.metric)}}
    if values and min(values) > 0 and max(values) / min(values) >= LOG_RATIO:
        return ValueAxis({**layout, "type": "log", "exponentformat": "e"})
    sign = objective.sign
    ordered = sorted(sign * v for v in values)
    if len(ordered) < 5:
        return ValueAxis(layout)
    # From the best value to three times the better nine tenths.
    best, common = ordered[0], ordered[-2 - len(ordered) // 10]
    limit = best + 3 * (common - best)
    if not best < limit < ordered[-1]:
        return ValueAxis(layout)
    pad = (limit - best) * 0.05
    shown = sorted((sign * (best - pad), sign * (limit + pad)))
    outside = count(sum(1 for v in ordered if v > limit), "far worse value")
    return ValueAxis({**layout, "range": shown}, f"Beyond the axis: {outside}")
