"""What a point promises: the logarithm of the improvement that is expected of it, times the chance to be allowed.

The logarithm, since far from everything good the expectation itself is zero to a computer, and a search on zeros
goes nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kubetuna.search.gaussian.encoding import Array
from kubetuna.search.gaussian.process import Process

_HALF_LOG_TAU = 0.9189385332046727


@dataclass(frozen=True, slots=True)
class Promise:
    """Of every point, given the best value so far (None: none was allowed) and what is known of both.

    ``allowed`` is a process of how far constraints are violated, above 0 where they are; None without any.
    """

    objective: Process
    best: float | None
    allowed: Process | None = None

    def of(self, points: Array) -> Array:
        """The promise of each point; more is better."""
        total = np.zeros(len(points))
        if self.best is not None:
            mean, deviation = self.objective.posterior(points)
            total += np.log(deviation) + _log_gain((self.best - mean) / deviation)[0]
        if self.allowed is not None:
            mean, deviation = self.allowed.posterior(points)
            total += _log_chance(-mean / deviation)[0]
        return total

    def climbing(self, point: Array, along: Any) -> tuple[float, Array]:
        """The promise of one point, and how it changes along some numeric axes."""
        total, change = 0.0, np.zeros(len(along))
        if self.best is not None:
            mean, deviation, by_mean, by_deviation = self.objective.slopes(point, along)
            z = (self.best - mean) / deviation
            value, slope = _log_gain(np.array([z]))
            total += float(np.log(deviation) + value[0])
            change += by_deviation / deviation - slope[0] * (by_mean + z * by_deviation) / deviation
        if self.allowed is not None:
            mean, deviation, by_mean, by_deviation = self.allowed.slopes(point, along)
            z = -mean / deviation
            value, slope = _log_chance(np.array([z]))
            total += float(value[0])
            change -= slope[0] * (by_mean + z * by_deviation) / deviation
        return total, change


def _log_gain(z: Array) -> tuple[Array, Array]:
    """Of the expected improvement in deviations, ``φ(z) + z·Φ(z)``: the logarithm and its derivative."""
    from scipy.special import erfcx, log_ndtr

    below = np.minimum(z, -1.0)
    # φ(z)·(1 + z·Φ(z)/φ(z)), the ratio by a function that does not underflow; far out its series.
    ratio = np.sqrt(np.pi / 2) * erfcx(-below / np.sqrt(2))
    rest = np.where(below > -100.0, 1 + below * ratio, 1 / below**2)
    left = -0.5 * below**2 - _HALF_LOG_TAU + np.log(np.maximum(rest, 1e-300))
    above = np.maximum(z, -1.0)
    right = np.log(np.exp(-0.5 * above**2 - _HALF_LOG_TAU) + above * np.exp(log_ndtr(above)))
    value = np.where(z > -1.0, right, left)
    return value, np.exp(log_ndtr(z) - value)


def _log_chance(z: Array) -> tuple[Array, Array]:
    from scipy.special import log_ndtr

    value = log_ndtr(z)
    return value, np.exp(-0.5 * z**2 - _HALF_LOG_TAU - value)
