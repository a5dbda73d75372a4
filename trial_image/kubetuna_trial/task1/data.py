"""The market that agents train on and are judged on: prices and factors, split by time, scaled on train rows.

Chronological 60/20/20 with an embargo between the parts, as long as the longest horizon that went into the
factors. ``align`` says which price a factor row belongs to: ``front`` pairs row i with row i; ``rear`` pairs
the last rows, which with the contest's files makes every factor 900 seconds old.

With a fold (``kubetuna_trial.folds``) the first 80 % are cut into equal blocks instead: it trains on all before its
block, and is validated on its block less the embargo at its start. Rows after the block are not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold
from kubetuna_trial.task1.files import count_rows, header, open_factors, read_prices
from kubetuna_trial.task1.planted import RECIPE, planted_series
from kubetuna_trial.wire import say

Floats = NDArray[np.float64]

TRAIN, VALIDATION = 0.6, 0.2
EMBARGO = 900
LAG = 900
CLIP = 5.0
FEWEST_ROWS = 10_000
# As short as the shortest ordinary validation part with its embargo.
SHORTEST_BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``start`` … ``stop - 1``."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows of train and validation only.

    ``factors`` f32[N, F] are scaled by ``mean`` and ``deviation``, f64[F], of the train rows; ``move`` is the
    standard deviation of a train second's move, in USD. ``hashes`` are what the rows are known by. ``origin`` says,
    as JSON, how to get the same data again.
    """

    prices: Floats
    factors: NDArray[np.float32]
    train: Span
    validation: Span
    mean: Floats
    deviation: Floats
    move: float
    digest: str
    hashes: Mapping[str, str]
    source: str
    origin: Mapping[str, Any]
    fold: Fold | None = None


def split(rows: int, fold: Fold | None = None) -> tuple[Span, Span]:
    """Train and validation of a series of ``rows``; the test part, after 80 % of them, no trial reads."""
    if rows < FEWEST_ROWS:
        raise InputError(f"the data has {rows} rows; at least {FEWEST_ROWS} are needed")
    first, second = int(rows * TRAIN), int(rows * (TRAIN + VALIDATION))
    if fold is not None:
        first, second = fold.cut(second, SHORTEST_BLOCK, "rows")
    return Span(0, first), Span(first + EMBARGO, second)


def planted_dataset(rows: int, seed: int, snr: float, fold: Fold | None = None) -> Dataset:
    """Synthetic data. Each part is drawn from the same process; the test rows are cut off unseen."""
    series = planted_series(rows, seed, snr)
    train, validation = split(rows, fold)
    source = f"planted rows={rows} seed={seed} snr={snr:g}"
    origin = {"rows": rows, "seed": seed, "snr": snr, "recipe": RECIPE}
    prices, factors = series.prices[: validation.stop], series.factors[: validation.stop]
    return _dataset(prices, factors, train, validation, source, origin, fold)


def file_dataset(prices: Path, factors: Path, align: str, fold: Fold | None = None) -> Dataset:
    """The contest's files. Raises InputError where they are missing, damaged or do not fit together."""
    header(prices)
    rows, table = count_rows(prices), open_factors(factors)
    shift = rows - len(table)
    if shift < 0:
        raise InputError(f"{factors}: has {len(table)} rows, more than the {rows} of {prices}")
    train, validation = split(len(table), fold)
    offset = shift if align == "rear" else 0
    known = read_prices(prices, offset + validation.stop, lambda text: say(f"warning: {text}"))[offset:]
    used = np.asarray(table[: validation.stop], dtype=np.float32)
    if not np.isfinite(used).all():
        row = int(np.flatnonzero(~np.isfinite(used).all(axis=1))[0])
        raise InputError(f"{factors}: row {row} holds a value that is not finite")
    _warn_of_lag(known[: train.stop], used[: train.stop])
    origin = {"prices": str(prices.absolute()), "factors": str(factors.absolute()), "align": align}
    source = f"{prices.name} {factors.name} align={align}"
    return _dataset(known, used, train, validation, source, origin, fold)


def _dataset(
    prices: Floats,
    factors: NDArray[np.float32],
    train: Span,
    validation: Span,
    source: str,
    origin: Mapping[str, Any],
    fold: Fold | None,
) -> Dataset:
    fitted = factors[train.start : train.stop].astype(np.float64)
    mean, deviation = fitted.mean(axis=0), np.maximum(fitted.std(axis=0), 1e-8)
    scaled = np.clip((factors - mean) / deviation, -CLIP, CLIP).astype(np.float32)
    move = float(np.std(np.diff(prices[train.start : train.stop])))
    if move == 0:
        raise InputError("the price never moves within the train rows: there is nothing to learn")
    digest = hashlib.sha256(prices.tobytes() + np.ascontiguousarray(factors).tobytes()).hexdigest()
    hashes = hashes_of(prices, factors)
    return Dataset(prices, scaled, train, validation, mean, deviation, move, digest, hashes, source, origin, fold)


def hashes_of(prices: Floats, factors: NDArray[np.float32]) -> Mapping[str, str]:
    """What rows are known by, prices and factors apart, the factors as they were before any scaling."""
    return {
        "prices": hashlib.sha256(prices.tobytes()).hexdigest(),
        "factors": hashlib.sha256(np.ascontiguousarray(factors, dtype=np.float32).tobytes()).hexdigest(),
    }


def _warn_of_lag(prices: Floats, factors: NDArray[np.float32]) -> None:
    """Factors that foretell best what happened ``LAG`` seconds before their row are paired with wrong prices."""
    now, before = _foresight(prices, factors, 0), _foresight(prices, factors, -LAG)
    if before > 2 * now and before > 4 / np.sqrt(len(prices)):
        fit = f"({before:.3f} against {now:.3f})"
        say(f"warning: the factors fit the prices {LAG} rows earlier better {fit}; see --align")


def _foresight(prices: Floats, factors: NDArray[np.float32], shift: int) -> float:
    """The largest correlation of a factor with the move of the next ten seconds, prices shifted by ``shift``."""
    horizon = 10
    moves = np.log(prices[horizon:] / prices[:-horizon])
    moves = moves[: len(moves) + shift] if shift else moves
    table = factors[-shift : -shift + len(moves)]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = [abs(np.corrcoef(table[:, j], moves)[0, 1]) for j in range(table.shape[1])]
    return float(np.nanmax(found))
