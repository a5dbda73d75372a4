r"""What stands on a line in the end, as a person sees it on a terminal.

A progress bar rewrites its line with ``\r``, erases it or moves the cursor back in it. What was there before the
last ``\r`` is gone: a shorter text over a longer one is no mixture of the two, which nobody printed. Within what
follows, backspaces and cursor movements put characters where a terminal would. Of a line longer than
``LINE_LIMIT`` only the end is known.
"""

from __future__ import annotations

import re

from kubetuna.trials.attempts import LINE_LIMIT

# Furthest column that a movement reaches: no screen is wider, and a jump costs as much memory as it is far.
COLUMNS = 4_096

# What leaves the cursor and the text alone: colours and modes (CSI), OSC and the other strings, charset choices (as
# ``tput sgr0`` sends), two-byte escapes. Each is linear.
_STILL = re.compile(
    rb"\x1b(?:\[(?:[0-?]*[<-?][0-?]*[ -/]*[@-~]|[0-;]*(?:[ -/]+[@-~]|[IL-OQ-WYZ\[-_bcg-~]))"
    rb"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-Z\\-~])"
)
# To the first column, or to another row, whose text begins anew.
_RETURN = re.compile(rb"\x1b\[(?:[01]?[G`]|[\d;]*[ABEFHdef])")
_MOVE = re.compile("(\b+)|\x1b\\[(\\d*)[\\d;]*([@CDGJKPX`a])")
_WORD_CUT = re.compile(rb"[\w|-]*", re.ASCII)


def shown(line: bytes) -> bytes:
    r"""The text that stands when the newline comes, without escape sequences; a last ``\r`` is none."""
    whole = len(line) <= LINE_LIMIT
    if not whole:
        line = line[-LINE_LIMIT:]
    if b"\x1b" in line:
        line = _RETURN.sub(b"\r", _STILL.sub(b"", line))
    _, returned, line = line.rstrip(b"\r").rpartition(b"\r")
    if not whole and not returned:
        # The first word may have begun before what is known: the "loss" of a "val_loss" is another metric.
        line = line[_WORD_CUT.match(line).end() :]  # type: ignore[union-attr]
    return _row(line) if b"\b" in line or b"\x1b" in line else line


def is_cut(line: bytes) -> bool:
    """Whether something of what stands on the line is not known, since it is too long."""
    return len(line) > LINE_LIMIT and b"\r" not in line[-LINE_LIMIT:].rstrip(b"\r")


def _row(line: bytes) -> bytes:
    """A row of a terminal after text, backspaces, movements and erasures."""
    text = line.decode("utf-8", "replace")
    cells: list[str] = []
    column = at = 0
    for move in _MOVE.finditer(text):
        column = _put(cells, column, text[at : move.start()])
        at = move.end()
        back, count, kind = move.groups()
        column = max(0, column - len(back)) if back else _moved(cells, column, count, kind)
    _put(cells, column, text[at:])
    return "".join(cells).encode()


def _put(cells: list[str], column: int, text: str) -> int:
    if text:
        cells += " " * (column - len(cells))
        cells[column : column + len(text)] = text
    return column + len(text)


def _moved(cells: list[str], column: int, count: str, kind: str) -> int:
    """Carry out one movement or erasure; returns the column after it."""
    number = min(int(count[:5] or 0), COLUMNS)
    many = max(1, number)
    match kind:
        case "D":
            return max(0, column - many)
        case "C" | "a":
            return min(column + many, max(column, COLUMNS))
        case "G" | "`":
            return many - 1
        case "P":
            del cells[column : column + many]
        case "@":
            cells[column:column] = " " * many if column < len(cells) < LINE_LIMIT else ""
        case "X":
            cells[column : column + many] = " " * len(cells[column : column + many])
        case _ if number == 0:
            del cells[column:]
        case _:
            end = len(cells) if number != 1 else column + 1
            cells[:end] = " " * min(end, len(cells))
    return column
