"""Samplers, pruners and spaces that cannot work together, told before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from kubetuna.experiment.field_errors import forbidden, invalid, required, too_many
from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.steps import upper_bound, values_of
from kubetuna.parsing.shape import PRUNING_NEEDS_ONE_METRIC
from kubetuna.search.grid import size
from kubetuna.search.space import EFFORT_LIMIT, GRID_LIMIT, effort, limits

SINGLE_OBJECTIVE = ("cmaes",)


def check(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Paths below ``spec`` with what is wrong there."""
    name, kind = experiment.algorithm.name, kind_of(experiment.template.trial_spec)
    if kind.node and experiment.collector.folder:
        text = f"to the Pods of a {kind.name}'s runtime no container can be added; print the metrics"
        yield "metricsCollectorSpec.collector.kind", forbidden(text)
    if experiment.multi_objective:
        if name in SINGLE_OBJECTIVE:
            yield "algorithm.algorithmName", invalid(name, "works with one objective only; use tpe or nsgaii")
        if experiment.pruner is not None and experiment.pruner.name != "none" and not experiment.keeps_curves:
            yield "earlyStopping", forbidden(PRUNING_NEEDS_ONE_METRIC)
    if name == "cmaes" and all(p.choices for p in experiment.parameters):
        yield "algorithm.algorithmName", invalid(name, "needs a parameter of type double or int; use tpe")
    if name in ("grid", "bruteforce"):
        yield from _grid(experiment, name)


def _grid(experiment: Experiment, name: str) -> Iterator[tuple[str, str]]:
    endless = [(i, p) for i, p in enumerate(experiment.parameters) if values_of(p) is None]
    for index, parameter in endless:
        path = f"parameters[{index}].feasibleSpace.step"
        hint = "; use a list" if parameter.log else ""
        yield path, required(f"{name!r} tries every point and {parameter.name!r} has no end of them{hint}")
    if endless:
        return
    bound = upper_bound(experiment) or 0
    if bound > GRID_LIMIT:
        yield "parameters", f"{too_many(bound, GRID_LIMIT)} for {name!r}; use larger steps"
        return
    if effort(experiment) > EFFORT_LIMIT:
        text = f"{len(limits(experiment))} conditions and constraints cannot be checked at all {bound} points"
        yield "constraints", invalid(bound, f"{text} of {name!r}; use larger steps or shorter expressions")
        return
    points = size(experiment)
    if points == 0:
        yield (
            "constraints",
            invalid([c.text for c in experiment.constraints], "no point of the grid satisfies them all"),
        )
    elif name == "grid" and experiment.max_trials is not None and experiment.preset is None:
        allowed = points + len(experiment.warm_start)
        if experiment.max_trials > allowed:
            yield (
                "maxTrialCount",
                invalid(experiment.max_trials, f"should be less than or equal to the grid's {points} points"),
            )
