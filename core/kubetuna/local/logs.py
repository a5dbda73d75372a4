"""An attempt's lines, from the file that it prints into. The cursor is a byte offset.

A line longer than ``LINE_LIMIT`` is left out, however long; ``+`` after the offset says that the file is read from
within one.
"""

from __future__ import annotations

from pathlib import Path

from kubetuna.local.folders import EXIT, LOG, REQUEST, attempt_folder
from kubetuna.trials.attempts import LINE_LIMIT, AttemptKey, LogChunk

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
        offset, within = int(cursor.rstrip("+") or 0), cursor.endswith("+")
        data = _bytes(folder / LOG, offset)
        return _chunk(data, offset, within, ended and len(data) < CHUNK)


def _bytes(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(offset)
            return log.read(CHUNK)
    except FileNotFoundError:
        return b""


def _chunk(data: bytes, offset: int, within: bool, last: bool) -> LogChunk:
    lines = data.split(b"\n")
    rest = lines.pop()
    if within and lines:
        lines, within = lines[1:], False
    if last:
        lines += [rest] if rest and not within else []
        rest = b""
    elif within or len(rest) > LINE_LIMIT:
        rest, within = b"", True
    kept = tuple(line for line in lines if len(line) <= LINE_LIMIT)
    cursor = f"{offset + len(data) - len(rest)}{'+' if within and not last else ''}"
    return LogChunk(kept, cursor, drained=last)
