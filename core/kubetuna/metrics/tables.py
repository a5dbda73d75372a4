"""Rows of a table under its heads: ``epoch  train_loss  valid_loss``, and then numbers alone.

A row names nothing, so it is read only where a person would know what stands in it: under a head that begins with
``epoch``, ``step`` or the like and names the metric, and where it has as many cells and begins with a number. Bars,
tabs, commas or blanks stand between cells, as in fastai, skorch, spaCy, Markdown, rich, polars and CSV.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from kubetuna.metrics.numbers import finite

MOST_CELLS = 64
LONGEST_HEAD = 1_000
_FIRST = frozenset(
    {"epoch", "epochs", "step", "steps", "iter", "iteration", "iterations", "round", "it", "global_step", "e", "#"}
)
_BARS = re.compile(r"[|│┃┆║]")
_PLACE = re.compile(r"\d+(?:/\d+)?\Z", re.ASCII)
_NOT_FINITE = frozenset({"nan", "inf", "-inf"})


def head_of(text: str, known: Collection[str]) -> Sequence[str]:
    """The names of a table's columns if this line is its head and has a known metric; else none."""
    if len(text) > LONGEST_HEAD:
        return ()
    wide = not _BARS.search(text) and "  " in text.strip()
    names = [cell.strip() for cell in re.split(r"\s{2,}", text.strip())] if wide else _cells(text)
    if len(names) > 1 and not names[0] and names[1].lower() in _FIRST:
        # pandas writes the number of each row before it, without a name.
        names[0] = "#"
    sound = 1 < len(names) <= MOST_CELLS and len(set(names)) == len(names) and all(names)
    if not sound or names[0].lower() not in _FIRST or any(finite(name) is not None for name in names):
        return ()
    return names if any(name in known for name in names) else ()


def row_of(text: str, names: Sequence[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """The known metrics in a row under these names; nothing if it is none."""
    cells = _cells(text)
    if len(cells) == len(names) and _PLACE.match(cells[0]):
        pairs = ((name, cell) for name, cell in zip(names, cells, strict=True) if name in known)
        yield from (pair for pair in pairs if finite(pair[1]) is not None or pair[1].lower() in _NOT_FINITE)


def _cells(text: str) -> list[str]:
    text = text.strip()
    if _BARS.search(text):
        return [cell.strip() for cell in _BARS.split(text.strip("|│┃║"))]
    for mark in ("\t", ",", ";"):
        if mark in text:
            return [cell.strip().strip('"') for cell in text.split(mark)]
    return text.split()
