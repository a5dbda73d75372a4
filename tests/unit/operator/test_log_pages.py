"""Pages of a Pod's log: nothing twice, nothing lost in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetuna.trials.attempts import LINE_LIMIT
from kubetuna_operator.kube.api_client import split_lines
from kubetuna_operator.workloads.log_page import STAMP_LENGTH, Page, instant, seconds, since
from kubetuna_operator.workloads.pod_logs import SLOWEST, _Pace

A, B, C = (f"2026-11-24T10:00:0{n}.000000000Z" for n in (1, 2, 3))


def page(cursor: str, *lines: tuple[str, str]) -> Page:
    made = Page(cursor)
    for at, text in lines:
        made.take(f"{at} {text}".encode())
    return made


def test_the_first_page_is_taken_whole() -> None:
    first = page("", (A, "one"), (B, "two"), (B, "three"))
    assert first.lines == [b"one", b"two", b"three"]
    assert first.cursor == f"{B}|2" and not first.gap


def test_what_was_read_comes_again_and_is_skipped() -> None:
    """Reads begin at whole seconds, so earlier lines of that second are there once more."""
    again = page(f"{B}|1", (A, "one"), (B, "two"), (B, "three"), (C, "four"))
    assert again.lines == [b"three", b"four"] and again.cursor == f"{C}|1" and not again.gap


def test_nothing_new_leaves_the_cursor() -> None:
    quiet = page(f"{B}|2", (B, "two"), (B, "three"))
    assert quiet.lines == [] and quiet.cursor == f"{B}|2" and not quiet.gap


def test_a_new_file_is_a_gap() -> None:
    """The kubelet serves only the newest file of a log: without the line of the cursor it began a new one."""
    rotated = page(f"{B}|1", (C, "four"))
    assert rotated.lines == [b"four"] and rotated.gap


def test_of_a_monstrous_line_the_end_is_kept_in_bounded_memory() -> None:
    bar = [f"{A} ".encode(), *[b"\r" + b"#" * 99_999] * 100, b"\rloss=0.5\n", f"{B} two\n".encode()]
    found = Page("")
    for raw in split_lines(iter(bar), LINE_LIMIT + STAMP_LENGTH, head=STAMP_LENGTH):
        assert len(raw) < LINE_LIMIT + 200_000
        found.take(raw)
    bar_end, second = found.lines
    assert len(bar_end) == LINE_LIMIT + 1 and bar_end.endswith(b"#\rloss=0.5") and second == b"two"
    assert found.cursor == f"{B}|1"


def test_a_last_line_without_its_newline_counts_once_nothing_can_follow() -> None:
    pieces = [b"one\ntw", b"o"]
    assert list(split_lines(iter(pieces))) == [b"one"]
    assert list(split_lines(iter(pieces), tail=True)) == [b"one", b"two"]


def test_reads_begin_a_second_early_at_a_whole_one_and_in_no_ones_zone() -> None:
    assert since("2026-11-24T10:00:01.123456789Z|3") == "2026-11-24T10:00:00Z"
    assert since("2026-11-24T10:00:01.5+02:00|1") == "2026-11-24T08:00:00Z"
    assert since("") is None and since("soon|1") is None


def test_two_streams_whose_lines_are_not_in_the_order_of_their_times_lose_nothing_and_are_no_gap() -> None:
    """Each of stdout and stderr takes the time of its line, then waits for its turn to write."""
    times = [f"2026-11-24T10:00:0{n}Z" for n in (2.3, 1.9, 3.1, 2.5, 2.5, 3.2)]
    lines = list(zip(times, ("one", "two", "three", "four", "five", "six"), strict=True))
    for first in range(len(lines) + 1):
        for second in range(first, len(lines) + 1):
            read: list[bytes] = []
            cursor = ""
            for known in (first, second, len(lines)):
                got = page(cursor, *lines[:known])
                assert not got.gap
                read += got.lines
                cursor = got.cursor
            assert read == [text.encode() for _, text in lines]


def test_the_hour_that_a_node_lives_twice_is_not_taken_for_the_past() -> None:
    summer, winter = "2026-10-25T02:59:59.5+02:00", "2026-10-25T02:00:00.1+01:00"
    found = page(f"{summer}|1", (summer, "one"), (winter, "two"))
    assert found.lines == [b"two"] and not found.gap
    assert (seconds(found.cursor) or 0.0) - (seconds(f"{summer}|1") or 0.0) == pytest.approx(0.6)


def test_a_time_is_the_same_however_it_is_written() -> None:
    assert instant("2026-11-24T10:00:01.5Z") == instant("2026-11-24T12:00:01.500000000+02:00")


@pytest.mark.parametrize(
    "word",
    [
        "unable to retrieve container logs for containerd://4d1f",
        'failed to try resolving symlinks in path "/var/log/pods/0.log": lstat 0.log: no such file or directory',
        "2026-11-24 is not a time",
        "2026-13-24T10:00:01Z not either",
    ],
)
def test_what_has_no_time_is_no_line_but_a_log_that_could_not_be_read(word: str) -> None:
    found = page("", (A, "one"))
    found.take(word.encode())
    assert found.unreadable and found.lines == [b"one"] and found.cursor == f"{A}|1"


@given(cursor=st.text(max_size=60), lines=st.lists(st.binary(max_size=60), max_size=5))
def test_no_cursor_and_no_line_can_make_a_page_raise(cursor: str, lines: list[bytes]) -> None:
    found = Page(cursor)
    for line in lines:
        found.take(line)
    assert Page(found.cursor).cursor == found.cursor and since(found.cursor) != ""


def test_the_pace_follows_the_lines() -> None:
    """A trial that reports every two seconds is looked at every second; a silent one ever more rarely."""
    pace = _Pace()
    for second in range(0, 20, 2):
        pace.learn(1, float(second), float(second), 0.0)
    assert pace.due - 18.0 == 1.0
    silent = _Pace()
    for _ in range(100):
        silent.learn(0, None, 0.0, 0.0)
    assert silent.due == SLOWEST


def test_many_pods_share_the_reads() -> None:
    pace = _Pace()
    pace.learn(1, 0.0, 0.0, share=30.0)
    assert pace.due == 30.0
