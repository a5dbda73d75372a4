"""Intervals: Student's for a mean over seeds, and the stationary bootstrap (Politis and Romano, 1994) for returns.

Blocks of random length keep the dependence between neighbouring returns, which drawing single ones would destroy.
Each resample is a row of counts, so that the ratios of many strategies are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
from scipy.stats import t

from kubetuna.analysis.statistics.sharpe import SMALLEST_DEVIATION, Floats, ratios_of_moments, sharpe_ratios

CONFIDENCE = 0.95
RESAMPLES = 1000


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval for the mean of values; of a single one, it is all that is known."""
    mean = fmean(values)
    if len(values) < 2:
        return mean, mean
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def mean_block(length: int) -> float:
    """The mean block length for a series: grows with its cube root, as the theory asks."""
    return max(1.0, 1.75 * math.cbrt(length))


def resample_counts(length: int, resamples: int, seed: int) -> Floats:
    """How often each return is drawn in each resample, f64[resamples, length]; each row sums to ``length``."""
    random = np.random.default_rng(seed)
    begins = random.random((resamples, length)) < 1 / mean_block(length)
    begins[:, 0] = True
    places = np.arange(length)
    begun = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    start = np.take_along_axis(random.integers(0, length, (resamples, length)), begun, axis=1)
    drawn = (start + places - begun) % length
    offset = np.arange(resamples)[:, None] * length
    counts = np.bincount((drawn + offset).ravel(), minlength=resamples * length)
    return counts.reshape(resamples, length).astype(np.float64)


def sharpe_interval(
    returns: Floats, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """An interval for the Sharpe ratio of ``returns``, f64[T], by the percentiles of its resamples."""
    counts = resample_counts(len(returns), resamples, seed)
    ratios = ratios_of_moments(counts @ returns / len(returns), counts @ returns**2 / len(returns))
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, (tail, 1 - tail))
    return float(low), float(high)


def reality_check(returns: Floats, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The p-value of the best of the columns of f64[T, N] against none having a positive mean.

    White's reality check with means in units of their deviation: how often the best of as many columns, equally
    correlated, would look as good had all of them no mean at all.
    """
    deviation = returns.std(axis=0)
    moving = returns[:, deviation >= SMALLEST_DEVIATION]
    if not moving.size:
        return 1.0
    scaled = (moving - moving.mean(axis=0)) / moving.std(axis=0)
    best = float(sharpe_ratios(moving).max())
    counts = resample_counts(len(moving), resamples, seed)
    luck = (counts @ scaled).max(axis=1) / len(moving)
    return float((np.count_nonzero(luck >= best) + 1) / (resamples + 1))
