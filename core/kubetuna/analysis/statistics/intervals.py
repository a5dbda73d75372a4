"""Intervals for what a strategy's backtest says, and how probable chance alone would have made it.

A figure of several seeds moves for two reasons: another stretch of the market, told by the stationary bootstrap of
the returns (Politis and Romano, 1994), and another seed of the training, told by Student's interval over the seeds.
Blocks of random length keep the dependence between neighbouring returns, which drawing single ones would destroy.
Each resample is a row of counts, so that the ratios of many strategies are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, stdev, variance
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetuna.analysis.statistics.sharpe import SMALLEST_DEVIATION, Floats, ratios_of_moments, sharpe_ratios

CONFIDENCE = 0.95
RESAMPLES = 1000
# More sums than these cost time and memory, and make no interval narrower.
MOST_SUMS = 1000

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Returns:
    """``length`` returns as sums over equal runs of neighbours, of them and of their squares, each f64[N]."""

    sums: Floats
    squares: Floats
    length: int

    @classmethod
    def of(cls, returns: Floats) -> Returns:
        """The sums of a series, as many as an interval needs."""
        starts = np.arange(0, len(returns), max(1, math.ceil(len(returns) / MOST_SUMS)))
        return cls(np.add.reduceat(returns, starts), np.add.reduceat(returns**2, starts), len(returns))


def _ratio(series: Returns, counts: Floats) -> Floats:
    return ratios_of_moments(counts @ series.sums / series.length, counts @ series.squares / series.length)


def _growth(series: Returns, counts: Floats) -> Floats:
    # The log of a product of many small steps; half of the squares is what it loses to their variance.
    return np.asarray(np.expm1(counts @ (series.sums - series.squares / 2)))


# The figures that follow from the returns alone, whatever their order.
FIGURES: Mapping[str, Callable[[Returns, Floats], Floats]] = {
    "sharpe_ratio": _ratio,
    "total_return": _growth,
    "cumulative_return": _growth,
}


@dataclass(frozen=True, slots=True)
class Chances:
    """95 % intervals for the mean of a figure over seeds; None for what the runs do not tell.

    ``market``: on another stretch of the same market, with these models. ``training``: with other seeds, on this
    stretch. ``both``: with both; one seed says nothing of it.
    """

    both: Interval | None = None
    market: Interval | None = None
    training: Interval | None = None

    @property
    def shown(self) -> Interval | None:
        """That of both, else that of training where nothing is known of the market. Never one of a single seed."""
        return self.both or self.training

    def as_json(self) -> dict[str, Any]:
        """The documented shape, beside a mean."""
        named = {name: getattr(self, field) for name, field in _NAMES.items()}
        return {name: found and list(found) for name, found in named.items()}

    @staticmethod
    def from_json(shown: Mapping[str, Any]) -> Chances:
        """Read ``as_json`` back; what is absent is not known."""
        known = {field: shown[name] for name, field in _NAMES.items() if shown.get(name)}
        return Chances(**{field: (float(low), float(high)) for field, (low, high) in known.items()})


_NAMES = {"interval": "both", "marketInterval": "market", "trainingInterval": "training"}


@dataclass(frozen=True, slots=True)
class _Spread:
    """The variance of an estimate, and how many degrees of freedom it rests on."""

    variance: float
    freedom: float

    def around(self, mean: float) -> Interval:
        """Student's interval."""
        # Here, since every command would wait for it.
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(self.variance)
        return mean - half, mean + half


def _mean(spreads: Sequence[_Spread], count: int) -> _Spread:
    """That of a sum of independent estimates over ``count``, with Welch's degrees of freedom."""
    total = sum(one.variance for one in spreads)
    small = sum(one.variance**2 / one.freedom for one in spreads)
    return _Spread(total / count**2, total**2 / small if small else spreads[0].freedom)


@dataclass(frozen=True, slots=True)
class _Sources:
    """Of a mean over seeds: the market's spread, that of the seeds as they are, and that beyond the market's."""

    market: _Spread | None = None
    training: _Spread | None = None
    seeds: _Spread | None = None


# A figure with one value and one series of returns for each seed.
Figure = tuple[Sequence[float], Sequence[Returns | None]]


def chances(metric: str, values: Sequence[float], series: Sequence[Returns | None]) -> Chances:
    """The intervals of a figure with one value and one series of returns for each seed."""
    return mean_chances(metric, [(values, series)])


def mean_chances(metric: str, stretches: Sequence[Figure]) -> Chances:
    """The intervals of a figure's mean over stretches of the market one after another, each with its own models."""
    mean, count = fmean(fmean(values) for values, _ in stretches), len(stretches)
    found = [_sources(metric, values, series) for values, series in stretches]
    market, training, seeds = (
        [one for source in found if (one := getattr(source, name)) is not None]
        for name in ("market", "training", "seeds")
    )
    return Chances(
        _mean([*market, *seeds], count).around(mean) if len(market) == len(seeds) == count else None,
        _mean(market, count).around(mean) if len(market) == count else None,
        _mean(training, count).around(mean) if len(training) == count else None,
    )


def _sources(metric: str, values: Sequence[float], series: Sequence[Returns | None]) -> _Sources:
    training = _Spread(variance(values) / len(values), len(values) - 1) if len(values) > 1 else None
    known = [one for one in series if one is not None and len(one.sums) > 1]
    alike = len({one.length for one in known}) == 1 and len(known) == len(values)
    if metric not in FIGURES or not alike:
        return _Sources(training=training)
    drawn, length = _resampled(metric, known), len(known[0].sums)
    spread = float(drawn.mean(axis=0).var(ddof=1)) * _lost_variance(length)
    market = _Spread(spread, length / mean_block(length))
    if training is None:
        return _Sources(market)
    # Where the models trade differently, a part of the spread over seeds is the market's, which is counted already.
    counted = float((drawn - drawn.mean(axis=1, keepdims=True)).var(axis=0, ddof=1).mean())
    beyond = max(0.0, variance(values) - counted) / len(values)
    return _Sources(market, training, _Spread(beyond, training.freedom))


def _resampled(metric: str, series: Sequence[Returns]) -> Floats:
    """The figure in each resample, f64[seeds, resamples]: the same stretches for every seed, as one market is."""
    counts = resample_counts(len(series[0].sums), RESAMPLES, 0)
    return np.array([FIGURES[metric](one, counts) for one in series])


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's 95 % interval for the mean of two or more values; of a single one there is none."""
    return _Spread(stdev(values) ** 2 / len(values), len(values) - 1).around(fmean(values))


def overlap(one: Interval | None, other: Interval | None) -> bool:
    """Whether two intervals leave the order open; what is not known does."""
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])


def mean_block(length: int) -> float:
    """The mean block length for a series: grows with its cube root, as the theory asks."""
    return max(1.0, 1.75 * math.cbrt(length))


def _lost_variance(length: int) -> float:
    """Resamples of a finite series vary less than the endless one that it stands for, by this factor."""
    return length / max(1.0, length - mean_block(length))


@lru_cache(maxsize=2)
def resample_counts(length: int, resamples: int, seed: int) -> Floats:
    """How often each return is drawn in each resample, f64[resamples, length]; each row sums to ``length``.

    It is kept, as one market is asked for several models, and must not be changed.
    """
    offset = np.arange(resamples)[:, None] * length
    drawn = resample_places(length, resamples, seed) + offset
    counts = np.bincount(drawn.ravel(), minlength=resamples * length)
    return counts.reshape(resamples, length).astype(np.float64)


def resample_places(length: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Which return stands at each place of each resample, i64[resamples, length]."""
    random = np.random.default_rng(seed)
    begins = random.random((resamples, length)) < 1 / mean_block(length)
    begins[:, 0] = True
    places = np.arange(length)
    begun = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    start = np.take_along_axis(random.integers(0, length, (resamples, length)), begun, axis=1)
    return np.asarray((start + places - begun) % length)


def sharpe_interval(
    returns: Floats, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """An interval for the Sharpe ratio of ``returns``, f64[T], by the percentiles of its resamples."""
    counts = resample_counts(len(returns), resamples, seed)
    ratios = ratios_of_moments(counts @ returns / len(returns), counts @ returns**2 / len(returns))
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, (tail, 1 - tail))
    return float(low), float(high)


def reality_check(returns: Floats, resamples: int = RESAMPLES, seed: int = 0, tried: int = 0) -> float:
    """The p-value of the best of the columns of f64[T, N] against none having a positive mean.

    ``tried`` strategies were seen, where more than the columns: those that were given up early were as many more
    chances for a good one, so the p-value is that of the best of all of them.

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
    luck = (counts @ scaled).max(axis=1) / len(moving) * math.sqrt(_lost_variance(len(moving)))
    alone = (np.count_nonzero(luck >= best) + 1) / (resamples + 1)
    return float(1 - (1 - alone) ** max(1.0, tried / returns.shape[1]))
