"""Changes made to a document before it is parsed: ``--set PATH=VALUE`` and ``--metric``."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import forbidden, invalid
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
            problems.append(Problem(full, "--set: there is no such place in the file"))
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
    return (name, direction) if name and direction in ("minimize", "maximize") else (text, None)


def with_metric(document: dict[str, Any], text: str | None, problems: list[Problem]) -> dict[str, Any]:
    """The document with another objective metric; the old one becomes an additional metric."""
    if text is None:
        return document
    spec = document.get("spec")
    objective = spec.get("objective") if isinstance(spec, dict) else None
    if not isinstance(objective, dict):
        problems.append(Problem("--metric", forbidden("needs one spec.objective; edit spec.objectives instead")))
        return document
    metric, direction = metric_and_direction(text)
    old, way = objective.get("objectiveMetricName"), objective.get("type")
    known = objective.get("metricDirections")
    directions = {**(known if isinstance(known, dict) else {}), **({str(old): way} if old and way else {})}
    wanted = direction or directions.pop(metric, None)
    if wanted is None:
        problems.append(Problem("--metric", needs_direction(metric)))
        return document
    objective["type"] = wanted
    if metric == old:
        return document
    others = objective.get("additionalMetricNames")
    names = [n for n in (others if isinstance(others, list) else []) if n != metric]
    objective["objectiveMetricName"] = metric
    objective["additionalMetricNames"] = names + ([old] if old else [])
    objective["metricDirections"] = directions
    objective.pop("goal", None)
    return document


def needs_direction(metric: str) -> str:
    """Nobody said which way a metric is better; a guess would call the worst trial the best."""
    both = " or ".join(f"{metric}:{way}" for way in ("minimize", "maximize"))
    return invalid(metric, f"needs a direction: {both}, or one in spec.objective.metricDirections")
