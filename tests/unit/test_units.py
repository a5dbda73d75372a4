"""Amounts read the same wherever they are said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import kubetuna_operator
from kubetuna.experiment import units
from kubetuna.experiment.units import GPU, SLOT, count, duration

ROOM = Path(units.__file__).resolve()
PACKAGES = (ROOM.parents[1], Path(kubetuna_operator.__file__).resolve().parent)
# What stands after a number in a text that was formatted by hand.
BY_HAND = re.compile(r" ?(?:GPU|slot)-?h| (?:s|sec|seconds|min|minutes|h|hours|days)\b| of spec\.budget\.gpuHours")
# What a trainer's own record says, which may hold anything.
ALLOWED = ("note.get(", "asked.get(")


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


def by_hand(text: str) -> Iterator[str]:
    """Formatted numbers of a module that a unit follows."""
    for node in ast.walk(ast.parse(text)):
        for value, after in pairwise(node.values) if isinstance(node, ast.JoinedStr) else ():
            if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                shown = ast.unparse(value.value)
                if BY_HAND.match(str(after.value)) and not shown.startswith(ALLOWED):
                    yield f"{{{shown}}}{after.value}"


@pytest.mark.sources
def test_no_other_module_formats_amounts_by_hand() -> None:
    modules = [path for package in PACKAGES for path in package.rglob("*.py") if path != ROOM]
    found = {str(path): list(by_hand(path.read_text(encoding="utf-8"))) for path in modules}
    assert {path: texts for path, texts in found.items() if texts} == {}, (
        "use duration(), Unit.amount() and count()"
    )


@pytest.mark.parametrize(
    "text",
    ['f"{left:.1f} s of it"', 'f"in {a} hours"', 'f"{spent:.3g} of spec.budget.gpuHours"', 'f"{x} GPU-hours"'],
)
def test_an_amount_that_is_formatted_by_hand_is_found(text: str) -> None:
    assert list(by_hand(text))
