"""Figures of an equity curve on a fixed clock, with the degenerate cases defined.

Definitions follow the FinRL contest (mean over standard deviation with ddof 0, no risk-free rate, not
annualised), except where they would be infinite: an equity that never moved has a Sharpe ratio and a RoMaD of
0, and a drawdown below one millionth counts as one millionth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SMALLEST_DEVIATION = 1e-12
SMALLEST_DRAWDOWN = 1e-6


@dataclass(frozen=True, slots=True)
class Performance:
    """What an equity curve comes to. Returns and drawdown are fractions; ``max_drawdown`` is never positive."""

    sharpe_ratio: float
    total_return: float
    romad: float
    max_drawdown: float
    degenerate: bool


def break_even(costs: Sequence[float], returns: Sequence[float]) -> float | None:
    """The cost at which nothing is earned, on a line between the two known ones; None where none is earned."""
    known = zip(costs, returns, strict=True)
    for (cheap, before), (dear, after) in pairwise(known):
        if before > 0 >= after:
            return cheap + before / (before - after) * (dear - cheap)
    return None


def simple_returns(equity: Floats) -> Floats:
    """Return per tick: ``equity`` of T + 1 values gives T."""
    return np.asarray(np.diff(equity) / equity[:-1], dtype=np.float64)


def performance(returns: Floats) -> Performance:
    """The figures of a series of simple returns, one a tick."""
    growth = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    total = float(growth[-1] - 1.0)
    drawdown = float(np.min(growth / np.maximum.accumulate(growth) - 1.0))
    deviation = float(np.std(returns)) if returns.size else 0.0
    if deviation < SMALLEST_DEVIATION:
        return Performance(0.0, total, 0.0, drawdown, degenerate=True)
    sharpe = float(np.mean(returns)) / deviation
    return Performance(sharpe, total, total / max(-drawdown, SMALLEST_DRAWDOWN), drawdown, degenerate=False)
