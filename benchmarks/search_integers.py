"""The functions of ``bbob-mixint``, four fifths of whose parameters are whole, as tasks.

They are COCO's, made in C: ``pip install coco-experiment==2.8.2``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.search_tasks import Function, Params, double, whole

DIMENSIONS, FUNCTIONS = 10, 24
NAMES = tuple(f"bbob-mixint/{number}" for number in range(1, FUNCTIONS + 1))
MISSING = "bbob-mixint is left out: pip install coco-experiment==2.8.2"


def installed() -> bool:
    """Whether they are at hand."""
    return importlib.util.find_spec("cocoex") is not None


@functools.cache
def function(name: str, instance: int) -> Function:
    """One of them; an instance has its best point in a place of its own."""
    suite = _suite(name.split("/")[1], instance)
    problem = suite[0]
    whole_ones = problem.number_of_integer_variables
    sides = list(zip(problem.lower_bounds, problem.upper_bounds, strict=True))
    parameters = tuple(
        whole(f"n{i}", int(low), int(high)) if i < whole_ones else double(f"x{i}", low, high)
        for i, (low, high) in enumerate(sides)
    )
    names, best = [p["name"] for p in parameters], problem(_best_point(problem))

    def excess(params: Params, _owner: Any = suite) -> float:
        """The suite owns the problem's memory, so it is kept."""
        return float(problem([float(params[name]) for name in names]) - best)

    return Function(f"{name}/{instance}", parameters, excess)


def _suite(number: str, instance: int) -> Any:
    options = f"function_indices:{number} dimensions:{DIMENSIONS} instance_indices:{instance}"
    return importlib.import_module("cocoex").Suite("bbob-mixint", "", options)


def _best_point(problem: Any) -> list[float]:
    """It is told in a file of the current folder only."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        problem._best_parameter("print")
        (file,) = Path(folder).iterdir()
        return [float(word) for word in file.read_text().split()]
