"""What a market's prices are known by, wherever they come from: a sketch of short stretches of them.

The hash of a data set changes with its encoding, its order of rows, its split, other factors or other news beside
the same prices, or one row more; the held-out test stays the same. So each short stretch of prices is hashed by
itself, and the smallest of these hashes are kept: sets that share most of their
stretches share most of their smallest hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.errors import InputError
from kubetuna_trial.wire import emit

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint64]

SERIES, KEPT = "market", 64
# Prices of a stretch, and how often they must differ for it to be nobody else's.
PRICES, MOVES = 8, 3
# Whole numbers that a float holds exactly, and that JSON keeps everywhere.
_SHIFT = np.uint64(64 - 48)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Grain:
    """How finely prices are looked at: every so many rows, in steps of this share of the price.

    Coarse enough for prices to stay in their step when they are written with fewer digits, fine enough to move.
    """

    rows: int
    share: float

    @property
    def length(self) -> int:
        """Rows from the first price of a stretch to its last."""
        return self.rows * (PRICES - 1)


def stretches(prices: Floats, grain: Grain) -> Hashes:
    """The hash of the stretch that begins at each row, 48 bits; 0 where it hardly moves."""
    steps = np.floor(np.log(prices) / grain.share).astype(np.int64).astype(np.uint64)
    count = max(0, len(prices) - grain.length)
    found, moves = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.int64)
    rows = [steps[place * grain.rows :][:count] for place in range(PRICES)]
    for before, row in zip((rows[0], *rows), rows, strict=False):
        found = (found ^ row) * _MULTIPLIER
        found ^= found >> np.uint64(29)
        moves += row != before
    return np.where(moves >= MOVES, found >> _SHIFT, np.uint64(0))


def sketch(hashes: Hashes, kept: int = KEPT) -> list[int]:
    """The smallest hashes, each once."""
    return [int(one) for one in np.unique(hashes[hashes > 0])[:kept]]


def last_mark(hashes: Hashes) -> int:
    """The last stretch that moves; 0 where none does."""
    moving = hashes[hashes > 0]
    return int(moving[-1]) if len(moving) else 0


def announce(sketches: Mapping[str, Sequence[int]]) -> None:
    """Tell the tuner by what the data are known: a series of whole numbers for each of a few prices."""
    for name, marks in sketches.items():
        if marks:
            emit({"series": f"{SERIES} {name}".strip(), "start": 0, "values": list(marks)})


def refuse_later(hashes: Hashes, mark: int) -> None:
    """Refuse to judge prices that go on after the last that a model was made with: its held-out test is there.

    Raises:
        InputError: they do.
    """
    places = np.flatnonzero(hashes == np.uint64(mark)) if mark else np.zeros(0, dtype=np.int64)
    if len(places) and (hashes[places[-1] + 1 :] > 0).any():
        raise InputError(
            "--split: what would be judged goes on after the data that the model was made with, where its held-out "
            "test is; take --split train or --split validation of its own data. The test is scored by "
            "'kubetuna finalize', once"
        )
