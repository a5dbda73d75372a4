"""The probability of backtest overfitting, by combinatorially symmetric cross-validation (CSCV).

The time axis is cut into blocks. For each way to take half of them, the strategy that is best there is looked up
in the other half: its rank among all tells whether choosing by backtest finds anything (Bailey, Borwein, López de
Prado, Zhu, The Probability of Backtest Overfitting, 2015). Ratios of a half come from sums over its blocks, so
twelve thousand splits are one matrix product.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubetuna.analysis.statistics.intervals import resample_places
from kubetuna.analysis.statistics.sharpe import SMALLEST_DEVIATION, Floats, ratios_of_moments

BLOCKS = 16
# A block of fewer returns has no ratio to speak of.
SHORTEST_BLOCK = 4
_CHUNK_CELLS = 2_000_000
# Of equals: enough draws for a chance of 1 %, and of each draw enough splits to know its probability within 0.04.
DRAWS, SPLITS_OF_A_DRAW = 199, 150


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What CSCV found.

    ``probability``: how often the best of one half is no better than the median of the other half. ``loss``: how
    often it has a negative ratio there. ``splits``: how many. ``chance``: how often as many strategies that do not
    differ, moving together and over time as these do, have as small a probability or a smaller one.
    """

    probability: float
    loss: float
    splits: int
    chance: float


def block_count(length: int, most: int = BLOCKS) -> int:
    """The largest even number of blocks, up to ``most``, that leaves each long enough; 0 where none does."""
    return min(most, length // SHORTEST_BLOCK // 2 * 2)


def probability_of_overfitting(returns: Floats, blocks: int = BLOCKS) -> Overfitting:
    """CSCV over ``returns``, f64[T, N]: a column per strategy. The oldest ``T % blocks`` rows are left out.

    Raises:
        ValueError: fewer than two strategies, an odd number of blocks, or more blocks than rows.
    """
    rows, strategies = returns.shape
    if strategies < 2 or blocks < 2 or blocks % 2 or rows < blocks:
        raise ValueError(f"cannot cut {rows} returns of {strategies} strategies into {blocks} blocks")
    size = rows // blocks
    chosen = _halves(blocks)
    step = max(1, _CHUNK_CELLS // strategies)
    sums = _sums(returns, blocks)
    parts = [_judge(chosen[i : i + step], sums, size) for i in range(0, len(chosen), step)]
    outside, share = (np.concatenate(column) for column in zip(*parts, strict=True))
    probability = float(np.mean(share <= 0.5))
    without = [np.mean(share <= 0.5) for share in _shares_of_equals(returns, blocks, chosen)]
    chance = (sum(one <= probability for one in without) + 1) / (DRAWS + 1)
    return Overfitting(probability, float(np.mean(outside < 0)), len(share), float(chance))


def _sums(returns: Floats, blocks: int) -> Floats:
    """Of each block the sum of the returns and of their squares, f64[2, blocks, N]."""
    rows, strategies = returns.shape
    size = rows // blocks
    cut = returns[rows - size * blocks :].reshape(blocks, size, strategies)
    return np.stack([cut.sum(axis=1), (cut**2).sum(axis=1)])


def _shares_of_equals(returns: Floats, blocks: int, chosen: Floats) -> Iterator[Floats]:
    """The ranks that choosing would have, were all columns equally good: resampled without their own means."""
    deviation = np.maximum(returns.std(axis=0), SMALLEST_DEVIATION)
    equal, random = (returns - returns.mean(axis=0)) / deviation, np.random.default_rng(0)
    few = chosen[random.permutation(len(chosen))[:SPLITS_OF_A_DRAW]]
    for places in resample_places(len(returns), DRAWS, 0):
        yield _judge(few, _sums(equal[places], blocks), len(returns) // blocks)[1]


def _halves(blocks: int) -> Floats:
    """A row of zeros and ones per way to choose half of the blocks."""
    chosen = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    found = np.zeros((len(chosen), blocks))
    np.put_along_axis(found, chosen, 1.0, axis=1)
    return found


def _judge(chosen: Floats, sums: Floats, size: int) -> tuple[Floats, Floats]:
    """Of the best of each chosen half: its ratio in the other half, and its relative rank there."""
    count = size * chosen.shape[1] // 2
    here, there = _ratios(chosen, sums, count), _ratios(1.0 - chosen, sums, count)
    rows, best = np.arange(len(chosen)), here.argmax(axis=1)
    found = there[rows, best]
    below = (there < found[:, None]).sum(axis=1)
    equal = (there == found[:, None]).sum(axis=1)
    rank = below + (equal + 1) / 2
    return found, rank / (there.shape[1] + 1)


def _ratios(chosen: Floats, sums: Floats, count: int) -> Floats:
    return ratios_of_moments(chosen @ sums[0] / count, chosen @ sums[1] / count)
