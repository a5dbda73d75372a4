"""Reading an attempt's file: whole lines once each, whatever is in it and wherever reading resumes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetuna.local import logs
from kubetuna.local.folders import EXIT, LOG, REQUEST, attempt_folder
from kubetuna.metrics.terminal import shown
from kubetuna.trials import attempts
from kubetuna.trials.attempts import AttemptKey

KEY = AttemptKey(0, 0)


def put(root: Path, data: bytes, ended: bool = True) -> None:
    folder = attempt_folder(root, KEY)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOG).write_bytes(data)
    (folder / REQUEST).write_text("{}")
    if ended:
        (folder / EXIT).write_text("{}")


def everything(root: Path) -> list[bytes]:
    cursor, found = "", []
    for _ in range(1000):
        chunk = logs.FileLogs(root).read(KEY, cursor)
        found += chunk.lines
        cursor = chunk.cursor
        if chunk.drained:
            return found
    raise AssertionError("the log never drained")


@given(data=st.binary(max_size=400).map(lambda b: b.replace(b"a", b"\n")))
def test_in_small_chunks_no_line_is_lost_doubled_or_torn(data: bytes, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path_factory.mktemp("log")
    put(root, data)
    before = logs.CHUNK, attempts.LINE_LIMIT
    logs.CHUNK, attempts.LINE_LIMIT = 16, 8
    try:
        lines = data.split(b"\n")
        assert everything(root) == [line[-9:] for line in lines[:-1] + [line for line in lines[-1:] if line]]
    finally:
        logs.CHUNK, attempts.LINE_LIMIT = before


def test_a_bar_of_ten_megabytes_is_read_piece_by_piece_and_its_end_kept(tmp_path: Path) -> None:
    bar = b"\r%s" % (b"#" * 99) * 100_000
    put(tmp_path, bar, ended=False)
    source, cursor = logs.FileLogs(tmp_path), ""
    for _ in range(20):
        chunk = source.read(KEY, cursor)
        assert chunk.lines == () and not chunk.drained
        cursor = chunk.cursor
    assert int(cursor) == len(bar) - attempts.LINE_LIMIT - 1
    put(tmp_path, bar + b"\rloss=0.5\nnext")
    line, following = source.read(KEY, cursor).lines
    assert len(line) == attempts.LINE_LIMIT + 1 and shown(line) == b"loss=0.5" and following == b"next"


@pytest.mark.parametrize("ended", [True, False])
def test_an_unfinished_last_line_counts_once_the_attempt_has_ended(tmp_path: Path, ended: bool) -> None:
    put(tmp_path, b"one\ntwo", ended)
    chunk = logs.FileLogs(tmp_path).read(KEY, "")
    assert chunk.lines == ((b"one", b"two") if ended else (b"one",))
    assert chunk.drained is ended


def test_an_attempt_that_never_printed_is_drained(tmp_path: Path) -> None:
    put(tmp_path, b"")
    (attempt_folder(tmp_path, KEY) / LOG).unlink()
    assert logs.FileLogs(tmp_path).read(KEY, "").drained
