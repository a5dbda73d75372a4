"""Changes made to a document before it is parsed: ``--set PATH=VALUE`` and ``--metric``."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import invalid
from kubetuna.experiment.model import DIRECTIONS
from kubetuna.parsing.checking import check
from kubetuna.parsing.objective_shape import BESIDE_SEVERAL
from kubetuna.parsing.shape import DOCUMENT
from kubetuna.parsing.yaml_text import load_documents

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PATH = re.compile(r"[^.\[\]]+(?:\[\d+\])*(?:\.[^.\[\]]+(?:\[\d+\])*)*\Z")


def with_sets(document: Mapping[str, Any], sets: Sequence[str], problems: list[Problem]) -> dict[str, Any]:
    """The document with each ``PATH=VALUE`` applied; paths may leave out the leading ``spec.``."""
    changed = copy.deepcopy(dict(document))
    for text in sets:
        path, found, value = text.partition("=")
        path = path.strip()
        if not found or not _PATH.match(path):
            problems.append(Problem("--set", invalid(text, "must be PATH=VALUE, such as parallelTrialCount=4")))
            continue
        full = path if path.split(".")[0] in ("spec", "metadata", "apiVersion", "kind") else f"spec.{path}"
        try:
            documents = load_documents(value)
        except SpecError as error:
            problems.append(Problem(full, f"--set: the value {error}"))
            continue
        if not _put(changed, full, documents[0] if documents else None):
            problems.append(
                Problem(full, "--set: there is no such place in the file; an item of a list is like parameters[0]")
            )
    return changed


def _put(document: dict[str, Any], path: str, value: Any) -> bool:
    steps: list[str | int] = [name if name else int(index) for name, index in _STEP.findall(path)]
    current: Any = document
    for step, following in pairwise(steps):
        if isinstance(current, dict) and isinstance(step, str):
            if current.get(step) is None:
                if isinstance(following, int):
                    return False
                current[step] = {}
            current = current[step]
        elif isinstance(current, list) and isinstance(step, int) and step < len(current):
            current = current[step]
        else:
            return False
    last = steps[-1]
    if isinstance(current, dict) and isinstance(last, str):
        current[last] = value
        return True
    if isinstance(current, list) and isinstance(last, int) and last < len(current):
        current[last] = value
        return True
    return False


def metric_and_direction(text: str) -> tuple[str, str | None]:
    """The parts of ``NAME`` or ``NAME:minimize``. A name may hold a colon itself."""
    name, _, direction = text.rpartition(":")
    return (name, direction) if name and direction in DIRECTIONS else (text, None)


def with_metric(document: dict[str, Any], text: str | None, problems: list[Problem]) -> dict[str, Any]:
    """The document with this one objective; the old ones become additional metrics.

    One that is not of its shape stays as it is: the parser says what is wrong with it.
    """
    if text is None or any(check(DOCUMENT, document, "")):
        return document
    metric, direction = metric_and_direction(text)
    spec = document["spec"]
    objective = spec.get("objective") or _one_of_several(spec, metric)
    old = objective["objectiveMetricName"]
    directions = {**(objective.get("metricDirections") or {}), old: objective["type"]}
    wanted = direction or directions.pop(metric, None)
    if wanted is None:
        problems.append(Problem("--metric", needs_direction(metric)))
        return document
    objective["type"] = wanted
    if metric == old:
        return document
    others = [name for name in objective.get("additionalMetricNames") or () if name != metric]
    objective |= {"objectiveMetricName": metric, "additionalMetricNames": [*others, old]}
    objective["metricDirections"] = directions
    objective.pop("goal", None)
    return document


def _one_of_several(spec: dict[str, Any], metric: str) -> dict[str, Any]:
    """Put one objective in place of several: this metric's, or the first; the others become additional metrics."""
    several = spec.pop("objectives")
    chosen = next((o for o in several if o["metric"] == metric), several[0])
    others = {o["metric"]: o["direction"] for o in several if o is not chosen}
    one = {name: spec.pop(name) for name in BESIDE_SEVERAL if spec.get(name)}
    one["additionalMetricNames"] = [*others, *one.get("additionalMetricNames", ())]
    one["metricDirections"] = one.get("metricDirections", {}) | others
    one |= {"objectiveMetricName": chosen["metric"], "type": chosen["direction"], "goal": chosen.get("goal")}
    spec["objective"] = one
    return one


def needs_direction(metric: str) -> str:
    """Nobody said which way a metric is better; a guess would call the worst trial the best."""
    both = " or ".join(f"{metric}:{way}" for way in DIRECTIONS)
    return invalid(
        metric,
        f"needs a direction: {both}, or one in metricDirections (of spec.objective; beside several, of spec)",
    )
