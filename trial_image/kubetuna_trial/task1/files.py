"""Reading the contest's files, up to the end of validation and not one row further.

The test rows are not parsed: a trial cannot use what it never reads. Every problem of a file is told with its
name, its line or column, and what is expected.
"""

from __future__ import annotations

import csv
import difflib
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.errors import InputError

PRICE_COLUMN = "midpoint"
_BLOCK = 1 << 20


def header(path: Path) -> list[str]:
    """The names of a CSV file's columns."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            names = next(csv.reader(file), [])
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not names:
        raise InputError(f"{path}: is empty; a CSV file with a header line is expected")
    return [name.strip() for name in names]


def count_rows(path: Path) -> int:
    """Data lines of a CSV file, counted without parsing them."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines - 1 + (last != b"\n")


def read_column(path: Path, name: str, rows: int | None = None) -> NDArray[np.float64]:
    """One numeric column, the first ``rows`` rows of it. Raises InputError."""
    names = header(path)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(names[:6])} …"
        raise InputError(f"{path}: has no column {name!r}{hint}")
    index = names.index(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            column = np.loadtxt(
                path, delimiter=",", skiprows=1, usecols=[index], max_rows=rows, ndmin=1,
                quotechar='"', encoding="utf-8", dtype=np.float64, comments=None,
            )  # fmt: skip
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: column {name!r} must hold numbers only: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if rows is not None and column.size < rows:
        raise InputError(f"{path}: is truncated: {column.size} rows of the {rows} that were expected")
    return column


def read_prices(path: Path, rows: int | None = None) -> NDArray[np.float64]:
    """The mid prices, USD, positive and finite."""
    prices = read_column(path, PRICE_COLUMN, rows)
    wrong = np.flatnonzero(~(np.isfinite(prices) & (prices > 0)))
    if wrong.size:
        line = int(wrong[0]) + 2
        raise InputError(f"{path}: line {line}: {PRICE_COLUMN} {prices[wrong[0]]} must be a positive number")
    return prices


def open_factors(path: Path) -> NDArray[np.float32]:
    """The factor array as a memory map: only the rows that are used are read from the disk."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: is no whole .npy file: {error}") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        shape, kind = getattr(array, "shape", "?"), getattr(array, "dtype", "?")
        raise InputError(f"{path}: must hold a float array of shape (rows, factors), not {kind} {shape}")
    return array
