"""An attempt's lines, from the file that it prints into. The cursor is a byte offset.

Of a line longer than ``LINE_LIMIT`` the end is kept, however long it is and however it is read: what a progress bar
shows last, and what is printed behind it, stands there.
"""

from __future__ import annotations

from pathlib import Path

from kubetuna.local.folders import EXIT, LOG, REQUEST, attempt_folder
from kubetuna.trials.attempts import AttemptKey, LogChunk, end_of

CHUNK = 1024 * 1024


class FileLogs:
    """The logs of attempts under a folder, as ``ProcessExecutor`` lays them out."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: AttemptKey, cursor: str) -> LogChunk:
        """The lines after ``cursor``; the last one may lack its newline once the attempt has ended."""
        folder = attempt_folder(self._root, key)
        # Asked before reading: whatever was printed before the end is then in what is read.
        ended = (folder / EXIT).exists() or not (folder / REQUEST).exists()
        # An earlier version put "+" behind the offset of a line of which it had left out the beginning.
        offset = int(cursor.rstrip("+") or 0)
        data = _bytes(folder / LOG, offset)
        return _chunk(data, offset, ended and len(data) < CHUNK)


def _bytes(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(offset)
            return log.read(CHUNK)
    except FileNotFoundError:
        return b""


def _chunk(data: bytes, offset: int, last: bool) -> LogChunk:
    *lines, rest = data.split(b"\n")
    if last:
        lines += [rest] if rest else []
        rest = b""
    rest = end_of(rest)
    return LogChunk(tuple(map(end_of, lines)), str(offset + len(data) - len(rest)), drained=last)
