"""What an attempt sees is named in one module: a variable that two modules spell apart is never found."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import kubetuna_operator
from kubetuna.trials import environment as room
from kubetuna.trials.attempts import AttemptKey
from kubetuna.trials.environment import environment, variable

pytestmark = pytest.mark.sources

ROOM = Path(room.__file__).resolve()
PACKAGES = (ROOM.parents[1], Path(kubetuna_operator.__file__).resolve().parent)
OF_EXECUTORS = (room.OUT, room.CHECKPOINT_DIR, room.METRICS_FILE)
NAMES = (*environment("e", {}, AttemptKey(0, 1), 0), *OF_EXECUTORS, variable(""))


def test_no_other_module_names_a_variable_of_a_trial() -> None:
    found = [
        f"{path.name}: {node.value}"
        for package in PACKAGES
        for path in package.rglob("*.py")
        if path != ROOM
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and str(node.value).partition("=")[0].partition(" ")[0] in NAMES
    ]
    assert found == [], f"take the name from {ROOM.name}"


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_says_what_a_trial_gets(name: str) -> None:
    page = (ROOM.parents[3] / "docs" / "reference" / "trials.md").read_text(encoding="utf-8")
    assert f"`{name}" in page
