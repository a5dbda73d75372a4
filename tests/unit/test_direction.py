"""Which of two values is better is said once, by the objective; nobody compares directions by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kubetuna.experiment import model
from kubetuna.experiment.model import Objective

pytestmark = pytest.mark.sources

ROOM = Path(model.__file__).resolve()
BY_HAND = re.compile(r"""[!=]= ["'](?:maximize|minimize)["']""")


@pytest.mark.parametrize(("direction", "better", "worse"), [("minimize", 1.0, 2.0), ("maximize", 2.0, 1.0)])
def test_an_objective_tells_what_is_better(direction: Any, better: float, worse: float) -> None:
    objective = Objective("loss", direction)
    assert objective.better(better, worse) and not objective.better(worse, better)
    assert not objective.better(better, better), "an equal value is no improvement"
    assert objective.better(worse, None), "anything beats nothing"
    assert objective.sign * better < objective.sign * worse


@pytest.mark.parametrize(("direction", "missed"), [("minimize", 1.1), ("maximize", 0.9)])
def test_a_goal_is_reached_by_a_value_as_good(direction: Any, missed: float) -> None:
    objective = Objective("loss", direction)
    assert objective.reaches(1.0, 1.0) and not objective.reaches(missed, 1.0)
    assert not objective.reaches(1.0, None)


def test_no_other_module_compares_directions() -> None:
    modules = [path for path in ROOM.parents[1].rglob("*.py") if path != ROOM]
    found = [str(path) for path in modules if BY_HAND.search(path.read_text(encoding="utf-8"))]
    assert not found, "use Objective.sign or better() instead of comparing the direction by hand"
