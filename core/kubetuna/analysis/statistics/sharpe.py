"""The Sharpe ratio of a return series, and how sure one may be of it: probabilistic and deflated.

Ratios are per period of the series, not annualised, without a risk-free rate. The probabilistic Sharpe ratio is
the probability that the true ratio exceeds a benchmark; the deflated one takes as the benchmark the best that
would be expected of as many skilless trials (Bailey and López de Prado, The Deflated Sharpe Ratio, 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL = NormalDist()
SMALLEST_DEVIATION = 1e-12


@dataclass(frozen=True, slots=True)
class Moments:
    """A series of ``length`` returns: its Sharpe ratio, skewness and kurtosis (3 for a normal one)."""

    ratio: float
    length: int
    skewness: float = 0.0
    kurtosis: float = 3.0


def moments(returns: Floats) -> Moments:
    """The moments of ``returns``, f64[T]; a series that never moves has a ratio of 0."""
    if not len(returns) or np.std(returns) < SMALLEST_DEVIATION:
        return Moments(0.0, len(returns))
    scaled = (returns - np.mean(returns)) / np.std(returns)
    return Moments(
        float(sharpe_ratios(returns)), len(returns), float(np.mean(scaled**3)), float(np.mean(scaled**4))
    )


def sharpe_ratios(returns: Floats) -> Floats:
    """The Sharpe ratio of each column of f64[T, N]."""
    return _ratios(returns.mean(axis=0), returns.std(axis=0))


def ratios_of_moments(mean: Floats, square: Floats) -> Floats:
    """The Sharpe ratios of series that are known by the means of their returns and of the squares of these."""
    return _ratios(mean, np.sqrt(np.maximum(square - mean**2, 0.0)))


def _ratios(mean: Floats, deviation: Floats) -> Floats:
    """Mean over deviation; 0 for a series that never moves."""
    moves = deviation >= SMALLEST_DEVIATION
    return np.asarray(np.where(moves, mean / np.where(moves, deviation, 1.0), 0.0))


def deviation_of_estimate(found: Moments) -> float:
    """The standard error of an estimated ratio, heeding that returns are not normal."""
    ratio = found.ratio
    spread = 1 - found.skewness * ratio + (found.kurtosis - 1) / 4 * ratio**2
    return math.sqrt(max(spread, SMALLEST_DEVIATION) / max(1, found.length - 1))


def probabilistic_sharpe_ratio(found: Moments, benchmark: float = 0.0) -> float:
    """The probability that the true ratio exceeds ``benchmark``; a half where nothing is known."""
    if found.length < 2:
        return 0.5
    return NORMAL.cdf((found.ratio - benchmark) / deviation_of_estimate(found))


def expected_best_ratio(variance: float, trials: float) -> float:
    """The best ratio to expect of ``trials`` independent skilless ones whose ratios have this variance."""
    if trials <= 1 or variance <= 0:
        return 0.0
    gamma = float(np.euler_gamma)
    usual = NORMAL.inv_cdf(1 - 1 / trials)
    rare = NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - gamma) * usual + gamma * rare)


def deflated_sharpe_ratio(found: Moments, variance: float, trials: float) -> float:
    """The probability that the best of ``trials`` is better than the best of as many skilless ones.

    ``variance`` is that of the trials' ratios.
    """
    return probabilistic_sharpe_ratio(found, expected_best_ratio(variance, trials))


def effective_trials(returns: Floats) -> float:
    """How many independent trials the columns of f64[T, N] amount to: N less what their correlation repeats."""
    moving = returns[:, returns.std(axis=0) >= SMALLEST_DEVIATION]
    count = int(moving.shape[1])
    if count < 2 or moving.shape[0] < 3:
        return float(max(1, count))
    # The mean of all correlations, from the variance of the scaled columns' sum: no N x N matrix is needed.
    scaled = (moving - moving.mean(axis=0)) / moving.std(axis=0)
    mean = (float(np.var(scaled.sum(axis=1))) - count) / (count * (count - 1))
    correlation: float = min(1.0, max(0.0, mean))
    return count * (1 - correlation) + correlation
