"""Where train, validation and test lie in a series of rows: three borders, each a share of the rows or a time.

By default training takes the first 60 %, validation the next 20 %, the held-out test the rest. The contest's
factors were fitted to the first 60 % of the whole recording, where they know what they are asked about: training on
those rows teaches to trust what no later row keeps. So of the contest's files only what comes after is used, unless
a person says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold

EMBARGO = 900
FEWEST_ROWS = 10_000
# As short as the shortest ordinary validation part with its embargo.
SHORTEST_BLOCK = 2_000
# Rows of the contest's factors, by the rows that its network was fitted to.
FITTED_ROWS = 618_436
CONTEST_ROWS = {823_682: "0.751,0.9,0.95", 1_029_828: "0.601,0.84,0.92"}
# The horizon of the labels, which the contest's network leaves without a row at the end.
LABELS = 900
USUAL = "0,0.6,0.8"
HELP = "where training (if not at the start), validation and test begin: shares of the rows, or times"
_SHARE = re.compile(r"0(\.\d{1,6})?|\.\d{1,6}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?", re.ASCII)

RowAt = Callable[[np.datetime64], int]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``start`` … ``stop - 1``."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Split:
    """The rows at which training, validation and test begin; as text, what a person would say for it."""

    text: str
    first: int
    validation: int
    test: int

    def __str__(self) -> str:
        return self.text

    def parts(self, fold: Fold | None = None) -> tuple[Span, Span]:
        """Train and validation. With a fold they are cut out of all that lies before the test."""
        border, stop = self.validation, self.test
        if fold is not None:
            border, stop = (self.first + row for row in fold.cut(self.test - self.first, SHORTEST_BLOCK, "rows"))
        return Span(self.first, border), Span(border + EMBARGO, stop)


def split_of(rows: int, text: str | None = None, row_at: RowAt | None = None) -> Split:
    """The borders in ``rows`` rows that ``text`` names; ``row_at`` finds the first row at a time or after it.

    Raises:
        InputError: it names none, or a part would be too short.
    """
    if rows < FEWEST_ROWS:
        raise InputError(f"the data has {rows} rows; at least {FEWEST_ROWS} are needed")
    said = CONTEST_ROWS.get(rows, USUAL) if text is None else text
    words = said.split(",")
    words = ["0", *words] if len(words) == 2 else words
    if len(words) != 3:
        raise _refused(said, "it must be two or three borders with commas between them")
    first, validation, test = (_border(said, word, rows, row_at) for word in words)
    for name, size in (("train", validation - first), ("validation", test - validation), ("test", rows - test)):
        if size < SHORTEST_BLOCK:
            raise _refused(said, f"it leaves {max(0, size)} of {rows} rows for {name}; at least {SHORTEST_BLOCK}")
    return Split(",".join(words), first, validation, test)


def _border(said: str, word: str, rows: int, row_at: RowAt | None) -> int:
    if _SHARE.fullmatch(word):
        return int(rows * float(word))
    if not _TIME.fullmatch(word):
        raise _refused(said, f"{word[:20]!r} is neither a share from 0 to 1 nor a time such as 2021-04-14T12:00")
    if row_at is None:
        raise _refused(said, "these data have no times (column system_time); give shares of the rows")
    try:
        return row_at(np.datetime64(word.replace(" ", "T")))
    except ValueError:
        raise _refused(said, f"{word!r} is not a time") from None


def _refused(said: str, why: str) -> InputError:
    return InputError(f"--split: {said[:60]!r} is not allowed: {why}")


def warnings_of(split: Split, rows: int, prices: int, asked: bool) -> list[str]:
    """What a person should know of factors that were fitted to rows of these very data."""
    if rows not in CONTEST_ROWS:
        if prices - rows != LABELS or asked:
            return []
        return [
            f"the factors end {LABELS} rows before the prices, as those of the contest's network do: where it was "
            "fitted to rows of these data, begin after them (--split)"
        ]
    if split.first >= FITTED_ROWS:
        return [
            f"the contest's factors were fitted to its first {FITTED_ROWS:,} rows, so training begins at row "
            f"{split.first:,}; --split {USUAL} uses all of them"
        ]
    return [
        f"the contest's factors were fitted to rows 0 to {FITTED_ROWS:,}: what is trained or judged there (from "
        f"row {split.first:,}) looks better than it is; --split {CONTEST_ROWS[rows]} begins after them"
    ]
