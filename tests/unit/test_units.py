"""Amounts read the same wherever they are said."""

from __future__ import annotations

import pytest

from kubetuna.experiment.units import GPU, SLOT, count, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (4.24, "4.2 s"),
        (9.97, "10 s"),
        (42, "42 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (4_000_000, "1,111 h 6 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_hours_of_units() -> None:
    assert (GPU.amount(1.5), SLOT.amount(0.12345)) == ("1.5 GPU-hours", "0.1235 slot-hours")
    assert GPU.amount(1_234_567.8) == "1,234,568 GPU-hours"


def test_counts() -> None:
    assert (count(1, "trial"), count(2_000, "trial")) == ("1 trial", "2,000 trials")
