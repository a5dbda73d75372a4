"""A Python function as an experiment: how a process finds it, and the short way to write a search space."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from kubetuna.api import trial
from kubetuna.errors import KubetunaError
from kubetuna.experiment.model import object_name
from kubetuna.parsing.shape import VERSIONS

# What a parameter says next to its feasible space.
_OF_THE_PARAMETER = ("parameterType", "when")


def function_document(function: Callable[..., Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment whose trials call a function.

    Raises:
        KubetunaError: no other process could import it.
    """
    words = [*_address(function), *_metrics(fields)]
    container = {"name": "trial", "image": "python", "command": ["python", "-m", trial.__name__, *words]}
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}
    return {
        "apiVersion": VERSIONS[0],
        "kind": "Experiment",
        "metadata": {"name": object_name(function.__name__)},
        "spec": {"trialTemplate": {"trialSpec": pod}},
    }


def _address(function: Callable[..., Any]) -> tuple[str, str, str]:
    """The folder to import from, the module, and the function's name in it."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    path, name = getattr(module, "__file__", None), getattr(function, "__qualname__", "")
    if path is None or not name or "<" in name or _found(module, name) is not function:
        raise KubetunaError(
            f"{name or function!r} cannot be imported by another process, and every trial is one: define it with "
            "def at the top level of a .py file; a lambda, a nested function or a notebook's cell cannot be tuned"
        )
    place = Path(path).absolute()
    known = getattr(module, "__spec__", None)
    if known is None:
        return str(place.parent), place.stem, name
    depth = known.name.count(".") + (place.name == "__init__.py")
    return str(place.parents[depth]), known.name, name


def _found(module: object, name: str) -> object:
    return reduce(lambda owner, part: getattr(owner, part, None), name.split("."), module)


def _metrics(fields: Mapping[str, Any]) -> list[str]:
    """The objectives' names, for a function that returns bare numbers."""
    several = fields.get("objectives") or [fields.get("objective")]
    found = [one.get("objectiveMetricName", one.get("metric")) for one in several if isinstance(one, Mapping)]
    return [str(name) for name in found if name]


def short_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a spec with the search space and the objective written out in full."""
    changed = dict(fields)
    space, objective = changed.get("parameters"), changed.get("objective")
    if isinstance(space, Mapping):
        changed["parameters"] = [_parameter(name, value) for name, value in space.items()]
    if isinstance(objective, str):
        direction, _, metric = objective.partition(" ")
        changed["objective"] = {"type": direction, "objectiveMetricName": metric}
    return changed


def _parameter(name: str, space: Any) -> dict[str, Any]:
    if isinstance(space, tuple) and len(space) == 2:
        space = {"min": space[0], "max": space[1]}
    if isinstance(space, list):
        space = {"list": space}
    if not isinstance(space, Mapping):
        return {"name": name, "parameterType": "double", "feasibleSpace": space}
    own = {key: space[key] for key in _OF_THE_PARAMETER if key in space}
    feasible = {key: value for key, value in space.items() if key not in _OF_THE_PARAMETER}
    return {"name": name, "parameterType": _kind(feasible), **own, "feasibleSpace": feasible}


def _kind(feasible: Mapping[str, Any]) -> str:
    if "list" in feasible:
        return "categorical"
    return "int" if all(isinstance(feasible.get(end), int) for end in ("min", "max")) else "double"
