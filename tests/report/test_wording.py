"""Reports, messages and help texts read as an engineer writes: no quaint turn comes back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.results.studies import seen

pytestmark = pytest.mark.sources

PROJECT = Path(__file__).parents[2]
PACKAGES = ("core/kubetuna", "operator/kubetuna_operator", "trial_image/kubetuna_trial")
# Whose docstrings are for people too: the verbs' are their help.
ROOMS = ("analysis", "finrl", "cli")
QUAINT = (
    "whether to believe", "what to type", "what was found", "what it cost", "what went wrong", "how it goes",
    "how much of it is luck", "mere luck", "luck alone", "by luck", "take care", "stands alone", "for a try",
    "is said", "is told", "whoever", "judged hopeless", "anybody", "nobody", "to bear", "is there twice",
    "cannot be joined",
)  # fmt: skip
# "x is no number", where an engineer writes "is not a number".
NO_SUCH = r"(?<!there )\bis no (?!longer|more|better|worse|single)"
PHRASE = re.compile("|".join([NO_SUCH, *(rf"\b{re.escape(phrase)}\b" for phrase in QUAINT)]), re.IGNORECASE)


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))


def texts(path: Path) -> Iterator[str]:
    """Every text that a module writes, and its docstrings where people read them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set() if set(ROOMS) & set(path.parts) else set(_docstrings(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in hidden:
            yield " ".join(node.value.split())


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        body = getattr(node, "body", ())
        yield from (one.value for one in (body if isinstance(body, list) else ()) if isinstance(one, ast.Expr))


@pytest.mark.parametrize("path", modules(), ids=lambda path: "/".join(path.parts[-2:]))
def test_no_module_writes_a_quaint_phrase(path: Path) -> None:
    assert [text for text in texts(path) if PHRASE.search(text)] == []


def test_the_summary_has_the_titles_of_the_page() -> None:
    from kubetuna.analysis.summary import summary, summary_text

    lines = summary_text(summary(seen(), "x", 0.0)).splitlines()
    titles = [line.split(":")[0] for line in lines[1:] if line and not line.startswith(" ")]
    assert titles == ["Result", "Cost", "Reliability checks", "Next steps"]
