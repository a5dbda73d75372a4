"""Pages of a Pod's log: nothing twice, nothing lost in silence."""

from __future__ import annotations

from kubetuna_operator.kube.api_client import split_lines
from kubetuna_operator.workloads.pod_logs import LONGEST_LINE, SLOWEST, STAMP_LENGTH, Page, _Pace, _whole

A, B, C = (f"2026-11-24T10:00:0{n}.000000000Z" for n in (1, 2, 3))


def page(cursor: str, *lines: tuple[str, str]) -> Page:
    stamp, _, seen = cursor.partition("|")
    made = Page(stamp, int(seen or 0))
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
    found = Page("", 0)
    for raw in split_lines(iter(bar), LONGEST_LINE + STAMP_LENGTH, head=STAMP_LENGTH):
        assert len(raw) < LONGEST_LINE + 200_000
        found.take(raw)
    bar_end, second = found.lines
    assert len(bar_end) == LONGEST_LINE + 1 and bar_end.endswith(b"#\rloss=0.5") and second == b"two"
    assert found.cursor == f"{B}|1"


def test_a_last_line_without_its_newline_counts_once_nothing_can_follow() -> None:
    pieces = [b"one\ntw", b"o"]
    assert list(split_lines(iter(pieces))) == [b"one"]
    assert list(split_lines(iter(pieces), tail=True)) == [b"one", b"two"]


def test_reads_begin_at_the_whole_second() -> None:
    assert _whole("2026-11-24T10:00:01.123456789Z") == "2026-11-24T10:00:01Z"
    assert _whole("2026-11-24T10:00:01.5+02:00") == "2026-11-24T10:00:01+02:00"


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
