"""The market that agents train on and are judged on: prices and factors, split by time, scaled on train rows.

Chronological, as ``kubetuna_trial.task1.splits`` says, with an embargo between the parts, as long as the longest
horizon that went into the factors. ``align`` says which price a factor row belongs to: ``front`` pairs row i with
row i; ``rear`` pairs the last rows, which with the contest's files makes every factor 900 seconds old.

With a fold (``kubetuna_trial.folds``) what lies before the test is cut into equal blocks instead: it trains on all
before its block, and is validated on its block less the embargo at its start. Rows after the block are not read.
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
from kubetuna_trial.marks import Grain, Hashes, stretches
from kubetuna_trial.task1.files import count_rows, header, open_factors, read_prices, row_at
from kubetuna_trial.task1.planted import RECIPE, planted_series
from kubetuna_trial.task1.splits import Span, Split, split_of, warnings_of
from kubetuna_trial.wire import say

Floats = NDArray[np.float64]

LAG = 900
# Seconds, and half a dollar of fifty thousand.
GRAIN = Grain(4, 1e-5)
CLIP = 5.0


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows of train and validation only.

    ``factors`` f32[N, F] are scaled by ``mean`` and ``deviation``, f64[F], of the train rows; ``move`` is the
    standard deviation of a train second's move, in USD. ``hashes`` are what the rows are known by, ``marks`` what
    stretches of the prices are known by wherever they come from, u64[N]. ``origin`` says, as JSON, how to get the
    same data again.
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
    marks: Hashes
    source: str
    origin: Mapping[str, Any]
    split: Split
    fold: Fold | None = None


def planted_dataset(
    rows: int, seed: int, snr: float, fold: Fold | None = None, split: str | None = None
) -> Dataset:
    """Synthetic data. Each part is drawn from the same process; the test rows are cut off unseen."""
    series, where = planted_series(rows, seed, snr), split_of(rows, split)
    source = f"planted rows={rows} seed={seed} snr={snr:g}"
    origin = {"rows": rows, "seed": seed, "snr": snr, "recipe": RECIPE}
    return _dataset(series.prices, series.factors, where, source, origin, fold)


def file_dataset(
    prices: Path, factors: Path, align: str, fold: Fold | None = None, split: str | None = None
) -> Dataset:
    """The contest's files. Raises InputError where they are missing, damaged or do not fit together."""
    header(prices)
    rows, table = count_rows(prices), open_factors(factors)
    shift = rows - len(table)
    if shift < 0:
        raise InputError(f"{factors}: has {len(table)} rows, more than the {rows} of {prices}")
    offset = shift if align == "rear" else 0
    where = split_of(len(table), split, row_at(prices, offset))
    for text in warnings_of(where, len(table), rows, split is not None):
        say(f"warning: {text}")
    train, validation = where.parts(fold)
    known = read_prices(prices, offset + validation.stop, lambda text: say(f"warning: {text}"))[offset:]
    used = np.asarray(table[: validation.stop], dtype=np.float32)
    if not np.isfinite(used).all():
        row = int(np.flatnonzero(~np.isfinite(used).all(axis=1))[0])
        raise InputError(f"{factors}: row {row} holds a value that is not finite")
    _warn_of_lag(known[train.start : train.stop], used[train.start : train.stop])
    origin = {"prices": str(prices.absolute()), "factors": str(factors.absolute()), "align": align}
    source = f"{prices.name} {factors.name} align={align}"
    return _dataset(known, used, where, source, origin, fold)


def _dataset(
    prices: Floats,
    factors: NDArray[np.float32],
    where: Split,
    source: str,
    origin: Mapping[str, Any],
    fold: Fold | None,
) -> Dataset:
    train, validation = where.parts(fold)
    prices, factors = prices[: validation.stop], factors[: validation.stop]
    fitted = factors[train.start : train.stop].astype(np.float64)
    mean, deviation = fitted.mean(axis=0), np.maximum(fitted.std(axis=0), 1e-8)
    scaled = np.clip((factors - mean) / deviation, -CLIP, CLIP).astype(np.float32)
    move = float(np.std(np.diff(prices[train.start : train.stop])))
    if move == 0:
        raise InputError("the price never moves within the train rows: there is nothing to learn")
    digest = hashlib.sha256(prices.tobytes() + np.ascontiguousarray(factors).tobytes()).hexdigest()
    hashes, marks = hashes_of(prices, factors), stretches(prices, GRAIN)
    origin = {**origin, "split": str(where)}
    return Dataset(
        prices, scaled, train, validation, mean, deviation, move, digest, hashes, marks, source, origin, where, fold
    )


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
