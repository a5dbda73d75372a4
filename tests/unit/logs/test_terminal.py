"""What stands on a line once it ends: rewritten, erased, moved about in, too long to be kept."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetuna.metrics.lines import LineReader, MetricLine
from kubetuna.metrics.terminal import is_cut, shown
from kubetuna.trials.attempts import LINE_LIMIT

BAR = "\r 40%|####      | 4/10 [00:01<00:02, 3.1it/s, loss=0.01]"


@pytest.mark.parametrize(
    ("line", "stands"),
    [
        ("loss=0.5", "loss=0.5"),
        ("loss=0.5\r", "loss=0.5"),
        (f"{BAR}{BAR}\rloss=0.5", "loss=0.5"),
        (f"{BAR}\r{' ' * 57}\rloss=0.5", "loss=0.5"),
        (f"{BAR}\r\x1b[Kloss=0.5", "loss=0.5"),
        (f"{BAR}\x1b[2K\rloss=0.5", "loss=0.5"),
        (f"{BAR}\x1b[2K\x1b[Gloss=0.5", "loss=0.5"),
        (f"{BAR}\x1b[A\x1b[1Gloss=0.5", "loss=0.5"),
        (f"{BAR}\r{' ' * 8}\r", " " * 8),
        (f"{BAR}\r\x1b[K", ""),
        ("loss=0.123456\rloss=0.5", "loss=0.5"),
        ("loss=0.01\b\b\b\b0.50", "loss=0.50"),
        ("loss=0.01\x1b[4D0.50", "loss=0.50"),
        ("loss=0.01\b\b\b\b\x1b[K0.5", "loss=0.5"),
        ("loss=0.01\x1b[6G0.50", "loss=0.50"),
        ("x=0.01" + "\b" * 20 + "\x1b[Kloss=0.5", "loss=0.5"),
        ("loss=\x1b[3C0.5", "loss=   0.5"),
        ("loss=9990.5\x1b[6D\x1b[3P", "loss=0.5"),
        ("\x1b[1m\x1b[32mloss\x1b[0m=0.5\x1b[?25h\x1b(B\x1b]0;title\x07", "loss=0.5"),
        ("\x1b[38;5;12mloss\x1b[39m: 0.5\r\x1b[?25h", "loss: 0.5"),
        ("é━━ loss=0.1\b2", "é━━ loss=0.2"),
    ],
)
def test_what_stands(line: str, stands: str) -> None:
    assert shown(line.encode()).decode() == stands


@pytest.mark.parametrize("bar", ["." * 65_600, "." * 10_000_000, BAR * 2_000, f"\x1b[32m{BAR}\x1b[0m" * 2_000])
@pytest.mark.parametrize("filters", [(), (r"(\w+)\s*=\s*([\d.]+)",)])
def test_what_follows_an_overlong_bar_on_its_line_is_read(bar: str, filters: tuple[str, ...]) -> None:
    line = f"\r{bar}\rloss=0.5".encode()
    found = LineReader(("loss",), filters).read(line)
    assert isinstance(found, MetricLine) and found.values == {"loss": 0.5}
    assert not is_cut(line)


def test_of_a_line_without_end_the_end_is_read_but_no_half_name() -> None:
    reader = LineReader(("loss",))
    found = reader.read(b"x" * LINE_LIMIT + b" loss=0.5")
    assert isinstance(found, MetricLine) and found.values == {"loss": 0.5}
    half = b"z" * LINE_LIMIT + b"\nval_loss=0.5" + b" " * (LINE_LIMIT - len("loss=0.5"))
    assert shown(half).strip() == b"=0.5" and reader.read(half.partition(b"\n")[2]) is None
    assert is_cut(half) and not is_cut(b"x" * LINE_LIMIT)


def test_a_filter_reads_the_end_of_a_long_line() -> None:
    found = LineReader(("loss",), (r"(\w+): ([\d.]+)",)).read(b"#" * 5_000 + b" loss: 0.5")
    assert isinstance(found, MetricLine) and found.values == {"loss": 0.5}


@given(
    st.lists(st.sampled_from(["loss=0.5", "\r", "\b", "\x1b[", "9", ";", "K", "D", "C", "G", "P", "@", "1J", "é"]))
)
def test_whatever_the_movements_nothing_raises_and_memory_is_bounded(parts: list[str]) -> None:
    line = "".join(parts).encode()
    assert len(shown(line)) <= 8 * (len(line) + 4_096 * line.count(b"\x1b"))


@pytest.mark.parametrize(
    "unit",
    [b"\x1b[999999C", b"\x1b[999999@x\x1b[D", b"ab\x1b[1K", b"\x1b[9P\x1b[C", b"\b\x1b[C", b"\x1b[999C\x1b[K"],
)
def test_hostile_movements_take_little_time(unit: bytes) -> None:
    began = time.process_time()
    assert len(shown(unit * (LINE_LIMIT // len(unit)))) <= 4 * LINE_LIMIT
    assert time.process_time() - began < 2.0
