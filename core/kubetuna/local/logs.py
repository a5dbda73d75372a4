"""An attempt's lines, from the file that it prints into, or from what its collector follows in place of that.

The cursor is a byte offset; of event files a JSON object of offsets. Of a line longer than ``LINE_LIMIT`` the end
is kept, however long it is and however it is read: what a progress bar shows last, and what is printed behind it,
stands there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from kubetuna.experiment.model import Collector
from kubetuna.local.folders import EXIT, LOG, REQUEST, attempt_folder, metrics_path
from kubetuna.metrics.following import EventFiles, opened
from kubetuna.trials.attempts import AttemptKey, LogChunk, end_of

CHUNK = 1024 * 1024


class FileLogs:
    """The logs of attempts under a folder, as ``ProcessExecutor`` lays them out."""

    def __init__(self, root: Path, collector: Collector | None = None, metrics: Sequence[str] = ()) -> None:
        self._root, self._collector, self._metrics = root, collector or Collector(), metrics

    def read(self, key: AttemptKey, cursor: str) -> LogChunk:
        """The lines after ``cursor``; the last one may lack its newline once the attempt has ended."""
        folder = attempt_folder(self._root, key)
        # Asked before reading: whatever was printed before the end is then in what is read.
        ended = (folder / EXIT).exists() or not (folder / REQUEST).exists()
        if self._collector.kind == "TensorFlowEvent":
            return self._events(key, cursor, ended)
        # An earlier version put "+" behind the offset of a line of which it had left out the beginning.
        offset = int(cursor.rstrip("+") or 0)
        path = folder / LOG
        if self._collector.folder:
            path = metrics_path(self._root, key, self._collector)
            # Unlike a log it may be written anew.
            offset = offset if offset <= _size(path) else 0
        data = _bytes(path, offset)
        return _chunk(data, offset, ended and len(data) < CHUNK)

    def _events(self, key: AttemptKey, cursor: str, ended: bool) -> LogChunk:
        path = str(metrics_path(self._root, key, self._collector))
        files = EventFiles(path, self._metrics, json.loads(cursor or "{}"))
        lines = tuple(files.read())
        return LogChunk(lines, json.dumps(files.offsets), drained=ended and not lines)


def _bytes(path: Path, offset: int) -> bytes:
    handle = opened(str(path))
    if handle is None:
        return b""
    with os.fdopen(handle, "rb") as log:
        log.seek(offset)
        return log.read(CHUNK)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _chunk(data: bytes, offset: int, last: bool) -> LogChunk:
    *lines, rest = data.split(b"\n")
    if last:
        lines += [rest] if rest else []
        rest = b""
    rest = end_of(rest)
    return LogChunk(tuple(map(end_of, lines)), str(offset + len(data) - len(rest)), drained=last)
