"""Which of two values is better is said once, by the objective; nobody compares directions by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import kubetuna_operator
from kubetuna.experiment import model
from kubetuna.experiment.model import DIRECTIONS, Objective
from kubetuna.search import space

pytestmark = pytest.mark.sources

ROOM, OPTUNAS = Path(model.__file__).resolve(), Path(space.__file__).resolve()
ROOMS = (ROOM.parents[1], Path(kubetuna_operator.__file__).resolve().parent)
BY_HAND = re.compile(
    r"""[!=]= ["'](?:maximize|minimize)["']|["']minimize["'], ["']maximize["']|StudyDirection[.\[]"""
)


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
    modules = [path for room in ROOMS for path in room.rglob("*.py") if path not in (ROOM, OPTUNAS)]
    found = [str(path) for path in modules if BY_HAND.search(path.read_text(encoding="utf-8"))]
    assert not found, "use Objective.sign, better(), or study_sign() of one of Optuna's; DIRECTIONS names both"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_optunas_directions_are_ours(direction: Any) -> None:
    optunas = space.study_direction(direction)
    assert space.direction_of(optunas) == direction
    assert space.study_sign(optunas) == Objective("loss", direction).sign
