"""Reading the contest's CSV files: stocks and news, with every problem told by file, line and remedy.

A trial opens the train files only; the test files lie beside them.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from kubetuna_trial.errors import InputError
from kubetuna_trial.task2.planted import NEWS_COLUMNS, STOCK_COLUMNS, Article

Bar = tuple[str, str, tuple[float, ...]]

_PLACES = ("{part}/task2_{kind}_{part}.csv", "task2_{kind}_{part}.csv")
_ALONE = ("task2_{kind}.csv", "{kind}.csv")


def found_in(folder: Path, kind: str, part: str = "train") -> Path:
    """The file of a kind, ``stocks`` or ``news``, in a data folder; of the train or the test part."""
    places = (*_PLACES, *_ALONE) if part == "train" else _PLACES
    names = [place.format(kind=kind, part=part) for place in places]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: has no {part} file of {kind}; looked for {', '.join(names)}")


def read_stocks(path: Path) -> list[Bar]:
    """Date, ticker and open, high, low, close, volume of every row."""
    return [(_date(row[0], at), _word(row[1], at), _bar(row[2:], at)) for at, row in _rows(path, STOCK_COLUMNS)]


def _bar(texts: Sequence[str], at: str) -> tuple[float, ...]:
    """Open, high, low, close, volume."""
    values = tuple(_price(name, text, at) for name, text in _named(STOCK_COLUMNS[2:], texts))
    if values[2] > values[1]:
        raise InputError(f"{at}: Low {texts[2]} is above High {texts[1]}; are columns swapped?")
    return values


def read_news(path: Path) -> list[Article]:
    """Every article; a summary may be empty."""
    return [
        Article(_date(row[0], at), _word(row[1], at), " ".join(row[2].split()), " ".join(row[3].split()))
        for at, row in _rows(path, NEWS_COLUMNS)
    ]


def _named(names: Sequence[str], values: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(names, values, strict=True)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The wanted columns of each row, and where it is."""
    csv.field_size_limit(1 << 30)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            indices = _indices(path, next(reader, []), columns)
            for row in reader:
                if not row:
                    continue
                at = f"{path}: line {reader.line_num}"
                if len(row) <= max(indices):
                    raise InputError(f"{at}: has {len(row)} fields, too few for the columns {', '.join(columns)}")
                yield at, [row[index] for index in indices]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV file in UTF-8: {error}") from None


def _indices(path: Path, header: Sequence[str], columns: Sequence[str]) -> list[int]:
    if not header:
        raise InputError(f"{path}: is empty; a header line with {', '.join(columns)} is expected")
    names = [name.strip().casefold() for name in header]
    for column in columns:
        if column.casefold() not in names:
            near = difflib.get_close_matches(column.casefold(), names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(header[:8])}"
            raise InputError(f"{path}: has no column {column!r}{hint}")
    return [names.index(column.casefold()) for column in columns]


def _date(text: str, at: str) -> str:
    try:
        return date.fromisoformat(text.strip()[:10]).isoformat()
    except ValueError:
        raise InputError(f"{at}: Date {text[:40]!r} must be written YYYY-MM-DD") from None


def _word(text: str, at: str) -> str:
    if not text.strip():
        raise InputError(f"{at}: the ticker is empty")
    return text.strip().upper()


def _price(name: str, text: str, at: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (value == 0 and name != "Volume"):
        raise InputError(f"{at}: {name} {text[:40]!r} must be a positive number")
    return value
