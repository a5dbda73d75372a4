"""Reading the contest's files, up to the end of validation and not one row further.

The test rows are not parsed: a trial cannot use what it never reads. Every problem of a file is told with its
name, its line or column, and what is expected.
"""

from __future__ import annotations

import csv
import difflib
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.errors import InputError

PRICE_COLUMN, TIME_COLUMN = "midpoint", "system_time"
_BLOCK = 1 << 20
# A date with a time of day, and in every row the same zone or none.
_SECOND = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_BLANK = re.compile(rb"\n[ \t\r]*\n")


def header(path: Path) -> list[str]:
    """The names of a CSV file's columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            names = next(csv.reader(file), [])
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not names:
        raise InputError(f"{path}: is empty; a CSV file with a header line is expected")
    return [name.strip() for name in names]


def count_rows(path: Path) -> int:
    """Data lines of a CSV file, counted without parsing them; blank lines at its end are none.

    Raises:
        InputError: there are blank lines between others, which would shift everything after them.
    """
    rows, white = 0, b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            text = white + block
            filled = text.rstrip()
            if blank := _BLANK.search(filled):
                line = rows + filled.count(b"\n", 0, blank.start()) + 2
                raise InputError(f"{path}: line {line} is blank; take blank lines between rows out")
            rows += filled.count(b"\n")
            white = text[len(filled) :]
    return rows


def read_column(path: Path, name: str, rows: int | None = None) -> NDArray[np.float64]:
    """One numeric column, the first ``rows`` rows of it. Raises InputError."""
    return np.asarray(_columns(path, {name: "f8"}, rows)[name])


def _columns(path: Path, kinds: Mapping[str, str], rows: int | None) -> NDArray[np.void]:
    """Columns in one pass over the file, which is far too long for two."""
    names = header(path)
    for name in kinds:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(names[:6])} …"
            raise InputError(f"{path}: has no column {name!r}{hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            table = np.loadtxt(
                path, delimiter=",", skiprows=1, usecols=[names.index(name) for name in kinds], max_rows=rows,
                ndmin=1, quotechar='"', encoding="utf-8", dtype=list(kinds.items()), comments=None,
            )  # fmt: skip
    except (ValueError, IndexError) as error:
        numbers = ", ".join(repr(name) for name, kind in kinds.items() if kind == "f8")
        raise InputError(f"{path}: column {numbers} must hold numbers only: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if rows is not None and table.size < rows:
        raise InputError(f"{path}: is truncated: {table.size} rows of the {rows} that were expected")
    return np.asarray(table)


def read_prices(
    path: Path, rows: int | None = None, warn: Callable[[str], None] = lambda _: None
) -> NDArray[np.float64]:
    """The mid prices, USD, positive and finite, one a second where the file has times; ``warn`` hears of gaps."""
    timed = TIME_COLUMN in header(path)
    table = _columns(path, {PRICE_COLUMN: "f8", **({TIME_COLUMN: "U32"} if timed else {})}, rows)
    prices = np.ascontiguousarray(table[PRICE_COLUMN])
    wrong = np.flatnonzero(~(np.isfinite(prices) & (prices > 0)))
    if wrong.size:
        line = int(wrong[0]) + 2
        raise InputError(f"{path}: line {line}: {PRICE_COLUMN} {prices[wrong[0]]} must be a positive number")
    if timed:
        _check_times(path, table[TIME_COLUMN], warn)
    else:
        warn(f"{path}: has no column {TIME_COLUMN!r}: that there is one row a second was not checked")
    return prices


def row_at(path: Path, offset: int) -> Callable[[np.datetime64], int] | None:
    """Finds the row, counted from ``offset``, that is the first at a time or after it; None without times.

    No row after it is looked at.
    """
    names = header(path)
    if TIME_COLUMN not in names:
        return None
    place = names.index(TIME_COLUMN)

    def find(when: np.datetime64) -> int:
        row = 0
        with path.open(encoding="utf-8", errors="replace") as file:
            next(file)
            for row, line in enumerate(file):
                text = np.array([line.split(",", place + 1)[place : place + 1] or [""]]).reshape(-1)
                if text[0].strip() and _times(path, text)[0] >= when:
                    return max(0, row - offset)
        return row + 1 - offset

    return find


def _check_times(path: Path, texts: NDArray[np.str_], warn: Callable[[str], None]) -> None:
    """Every row is a second to the simulator: refuse what goes back or stands still, tell of what is missing."""
    steps = np.rint(np.diff(_times(path, texts)) / np.timedelta64(1, "s"))
    for wrong, words in ((steps < 0, "is before"), (steps == 0, "repeats")):
        if wrong.any():
            row = int(np.argmax(wrong)) + 1
            remedy = "sort the rows by it" if words == "is before" else "keep one row a second"
            raise InputError(
                f"{path}: line {row + 2}: {TIME_COLUMN} {texts[row]} {words} that of the line before; {remedy}"
            )
    missing = steps - 1
    if (missing > 0).any():
        row = int(np.argmax(missing))
        count, most = int(missing[missing > 0].sum()), int(missing[row])
        warn(
            f"{path}: {count} seconds are missing, {most} of them after line {row + 2} ({texts[row]}); a move over "
            "a gap counts as that of one second: repeat the last row to fill it"
        )


def _times(path: Path, texts: NDArray[np.str_]) -> NDArray[np.datetime64]:
    """Times without their zone.

    Raises:
        InputError: one is no time, or in another zone than the first.
    """
    found = [_SECOND.fullmatch(text.strip()) for text in texts.tolist()]
    for row, match in enumerate(found):
        if match is None or match[2] != (found[0] and found[0][2]):
            what = "must be YYYY-MM-DD HH:MM:SS" if match is None else f"must be in the zone of line 2, {texts[0]}"
            raise InputError(f"{path}: line {row + 2}: {TIME_COLUMN} {str(texts[row])[:40]!r} {what}")
    try:
        return np.array([match[1] for match in found if match], dtype="datetime64[us]")
    except ValueError as error:
        raise InputError(f"{path}: {TIME_COLUMN}: {error}") from None


def open_factors(path: Path) -> NDArray[np.float32]:
    """The factor array as a memory map: only the rows that are used are read from the disk."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: is not a whole .npy file: {error}") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not array.shape[1] or array.dtype.kind != "f":
        shape, kind = getattr(array, "shape", "?"), getattr(array, "dtype", "?")
        raise InputError(f"{path}: must hold a float array of shape (rows, factors), not {kind} {shape}")
    return array
