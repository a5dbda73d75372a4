"""One part of a data set for judging a finished model: validation, the held-out test part, or every row.

Training never comes here. The test rows are read only where somebody says ``test`` or ``all``, and then whole files
are read; factors are scaled as the model saw them in training, whatever data it meets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold
from kubetuna_trial.marks import refuse_later, stretches
from kubetuna_trial.task1.data import CLIP, GRAIN, Floats, hashes_of
from kubetuna_trial.task1.files import count_rows, header, open_factors, read_prices, row_at
from kubetuna_trial.task1.planted import RECIPE, Series, planted_series
from kubetuna_trial.task1.splits import EMBARGO, USUAL, Span, Split, split_of

PARTS = ("train", "validation", "test", "all")


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of one part: prices f64[N], factors as they are f32[N, F], where they lie in the data."""

    prices: Floats
    factors: NDArray[np.float32]
    span: Span
    part: str
    source: str

    @property
    def digest(self) -> str:
        """A hash of these rows."""
        return hashlib.sha256(self.prices.tobytes() + np.ascontiguousarray(self.factors).tobytes()).hexdigest()

    def scaled(self, mean: Floats, deviation: Floats) -> NDArray[np.float32]:
        """The factors as a model sees them that was trained with this mean and deviation, f64[F].

        Raises:
            InputError: the model knows another number of factors.
        """
        if self.factors.shape[1] != len(mean):
            raise InputError(
                f"the data has {self.factors.shape[1]} factors, the model was trained with {len(mean)}"
            )
        return np.clip((self.factors - mean) / deviation, -CLIP, CLIP).astype(np.float32)


def part_of(split: Split, rows: int, part: str, fold: Fold | None = None) -> Span:
    """Where a part lies. The test part keeps its distance from validation, as validation does from training.

    With a fold, validation is its block and training is all before it.
    """
    if part == "all":
        return Span(0, rows)
    if part in ("train", "validation"):
        return split.parts(fold)[part == "validation"]
    return Span(split.test + EMBARGO, rows)


def window_of(origin: Mapping[str, Any], part: str, fold: Fold | None = None) -> Window:
    """The part of the data that ``origin`` describes, as ``Dataset.origin`` does. Raises InputError."""
    if "rows" in origin:
        return _planted(origin, part, fold)
    said = str(origin.get("split", USUAL))
    return _files(Path(origin["prices"]), Path(origin["factors"]), str(origin["align"]), said, part, fold)


def refuse_own(origin: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Refuse the data that a model was made with: the held-out test is among them.

    Prices and factors are compared apart, and prices at either alignment: the same prices with other factors, or
    shifted against them, lead to the same test.

    Raises:
        InputError: they are.
    """
    known, rows = described.get("hashes") or {}, int(described.get("protocol", {}).get("window", (0, 0))[1])
    if known and any(hashes.items() & known.items() for hashes in _hashes(origin, rows)):
        raise InputError(
            "--split: these are the data that the model was trained on, its held-out test among them; take "
            "--split train or --split validation. The test is scored by 'kubetuna finalize', once"
        )


def refuse_changed(described: Mapping[str, Any]) -> None:
    """Refuse a model's own data where they are not what they were.

    Raises:
        InputError: they have changed since it was trained.
    """
    known, rows = described.get("hashes") or {}, int(described.get("protocol", {}).get("window", (0, 0))[1])
    origin = described["origin"]
    if known and not any(hashes == known for hashes in _hashes(origin, rows)):
        raise InputError(
            f"{origin.get('prices', 'its data')}: the data have changed since the model was trained; its figures "
            "would be of others. Put back what was there, or name others with --data DIR"
        )


def refuse_test(origin: Mapping[str, Any], window: Window, described: Mapping[str, Any]) -> None:
    """Refuse rows of other data that hold a model's own held-out test, whatever lies before them there.

    Raises:
        InputError: they do.
    """
    if "rows" not in origin:
        place = Path(origin["prices"])
        offset = count_rows(place) - len(open_factors(Path(origin["factors"]))) if origin["align"] == "rear" else 0
        before = read_prices(place, offset + window.span.stop)[offset:]
        refuse_later(stretches(before, GRAIN), int(described.get("ends", 0)))


def _hashes(origin: Mapping[str, Any], rows: int) -> Iterator[Mapping[str, str]]:
    """What the first rows are known by, at each alignment."""
    if "rows" in origin:
        series = _series(origin)
        yield hashes_of(series.prices[:rows], series.factors[:rows])
        return
    table, count = open_factors(Path(origin["factors"])), count_rows(Path(origin["prices"]))
    for offset in {0, max(0, count - len(table))}:
        prices = read_prices(Path(origin["prices"]), min(count, offset + rows))[offset:]
        yield hashes_of(prices, np.asarray(table[:rows]))


def _planted(origin: Mapping[str, Any], part: str, fold: Fold | None) -> Window:
    series, rows = _series(origin), int(origin["rows"])
    span = part_of(split_of(rows, origin.get("split", USUAL)), rows, part, fold)
    chosen = slice(span.start, span.stop)
    source = f"planted rows={origin['rows']} seed={origin['seed']} snr={origin['snr']:g}"
    return Window(series.prices[chosen], series.factors[chosen], span, part, source)


def _series(origin: Mapping[str, Any]) -> Series:
    """The very series that an origin describes. Raises InputError where this version makes another."""
    if origin.get("recipe", 1) != RECIPE:
        raise InputError(
            "the model was trained on synthetic data of an earlier version, which are no longer made; give --data "
            "DIR, or train it again"
        )
    return planted_series(int(origin["rows"]), int(origin["seed"]), float(origin["snr"]))


def _files(prices: Path, factors: Path, align: str, split: str, part: str, fold: Fold | None) -> Window:
    header(prices)
    table = open_factors(factors)
    shift = count_rows(prices) - len(table)
    if shift < 0:
        raise InputError(f"{factors}: has more rows than {prices}")
    offset = shift if align == "rear" else 0
    where = split_of(len(table), split, row_at(prices, offset))
    span = part_of(where, len(table), part, fold)
    known = read_prices(prices, offset + span.stop)[offset + span.start :]
    used = np.asarray(table[span.start : span.stop], dtype=np.float32)
    if not np.isfinite(used).all():
        row = span.start + int(np.flatnonzero(~np.isfinite(used).all(axis=1))[0])
        raise InputError(f"{factors}: row {row} holds a value that is not finite")
    return Window(known, used, span, part, f"{prices.name} {factors.name} align={align}")
