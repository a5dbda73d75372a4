"""The report, the summary and the comparison read as an engineer writes: no quaint turn comes back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.results.studies import seen

pytestmark = pytest.mark.sources

PACKAGE = Path(__file__).parents[2] / "core" / "kubetuna"
ROOMS = ("analysis", "finrl")
QUAINT = (
    "whether to believe", "what to type", "what was found", "what it cost", "what went wrong", "how it goes",
    "how much of it is luck", "mere luck", "luck alone", "by luck", "take care", "stands alone", "for a try",
    "is said", "is told", "whoever", "judged hopeless", "anybody", "nobody",
)  # fmt: skip
PHRASE = re.compile("|".join(rf"\b{re.escape(phrase)}\b" for phrase in QUAINT), re.IGNORECASE)


def modules() -> list[Path]:
    return sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*.py"))


def texts(path: Path) -> Iterator[str]:
    """Every text in a module: what it writes, and its docstrings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())


@pytest.mark.parametrize("path", modules(), ids=lambda path: "/".join(path.parts[-2:]))
def test_no_module_writes_a_quaint_phrase(path: Path) -> None:
    assert [text for text in texts(path) if PHRASE.search(text)] == []


def test_the_summary_has_the_titles_of_the_page() -> None:
    from kubetuna.analysis.summary import summary, summary_text

    lines = summary_text(summary(seen(), "x", 0.0)).splitlines()
    titles = [line.split(":")[0] for line in lines[1:] if line and not line.startswith(" ")]
    assert titles == ["Result", "Cost", "Reliability checks", "Next steps"]
