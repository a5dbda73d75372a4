"""Samplers, pruners and spaces that cannot work together, told before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from kubetuna.experiment.model import Experiment
from kubetuna.search.space import GRID_LIMIT, choices, grid_points, upper_bound

SINGLE_OBJECTIVE = ("cmaes",)


def check(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Paths below ``spec`` with what is wrong there."""
    name = experiment.algorithm.name
    if experiment.multi_objective:
        if name in SINGLE_OBJECTIVE:
            yield "algorithm.algorithmName", f"{name!r} works with one objective only; use tpe or nsgaii"
        if experiment.pruner is not None and experiment.pruner.name != "none":
            yield "earlyStopping", "no pruner works with several objectives; leave it out"
    if name == "cmaes" and all(p.choices for p in experiment.parameters):
        yield "algorithm.algorithmName", "'cmaes' needs a parameter of type double or int; use tpe"
    if name in ("grid", "bruteforce"):
        yield from _grid(experiment, name)


def _grid(experiment: Experiment, name: str) -> Iterator[tuple[str, str]]:
    endless = [(i, p) for i, p in enumerate(experiment.parameters) if choices(p) is None]
    for index, parameter in endless:
        path = f"parameters[{index}].feasibleSpace.step"
        hint = "use a list" if parameter.log else "is needed"
        yield path, f"{hint}: {name!r} tries every point and {parameter.name!r} has no end of them"
    if endless:
        return
    bound = upper_bound(experiment) or 0
    if bound > GRID_LIMIT:
        yield "parameters", f"{name!r} would have {bound} points, more than {GRID_LIMIT}; use larger steps"
        return
    points = len(grid_points(experiment))
    if points == 0:
        yield "constraints", "no point of the grid satisfies them all"
    elif name == "grid" and experiment.max_trials is not None and experiment.preset is None:
        allowed = points + len(experiment.warm_start)
        if experiment.max_trials > allowed:
            yield "maxTrialCount", f"{experiment.max_trials} is above the grid's {points} points"
