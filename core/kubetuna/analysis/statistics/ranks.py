"""How well an order holds: Spearman's rank correlation between columns, and how often chance reaches as much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kubetuna.analysis.statistics.sharpe import Floats

DRAWS = 10_000
_CHUNK = 500
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Order:
    """``correlation``: Spearman's, the mean over all pairs of columns, from -1 to 1.

    ``chance``: how often rows in random order, drawn anew for each column, correlate as much or more.
    """

    correlation: float
    chance: float


def order_of(figures: Floats, seed: int = 0) -> Order | None:
    """How well the order of the rows of ``figures``, f64[N, K], holds from column to column.

    Equal figures share the mean of their ranks. A column whose figures are all equal has no order and is left out;
    None where fewer than two columns remain.
    """
    ranked = np.array([_ranks(column) for column in figures.T if len(np.unique(column)) > 1])
    if len(ranked) < 2:
        return None
    scaled = (ranked - ranked.mean(axis=1, keepdims=True)) / ranked.std(axis=1, keepdims=True)
    found, rng = float(_mean_correlation(scaled[None])[0]), np.random.default_rng(seed)
    reached = sum(
        int((_mean_correlation(_shuffled(scaled, rng)) >= found - _ROUNDING).sum()) for _ in range(DRAWS // _CHUNK)
    )
    return Order(found, (reached + 1) / (DRAWS + 1))


def _ranks(column: Floats) -> Floats:
    # SciPy's own function costs half a second to import.
    _, places, counts = np.unique(column, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _shuffled(scaled: Floats, rng: np.random.Generator) -> Floats:
    return rng.permuted(np.broadcast_to(scaled, (_CHUNK, *scaled.shape)), axis=2)


def _mean_correlation(scaled: Floats) -> Floats:
    """f64[D] of f64[D, K, N] with mean 0 and variance 1 along N: the squared sum holds every pair twice."""
    _, columns, rows = scaled.shape
    together = (scaled.sum(axis=1) ** 2).sum(axis=1) / rows
    return np.asarray((together - columns) / (columns * (columns - 1)))
