"""Katib's ``hyperband`` as an algorithm, which runs the better trials again with more of a resource.

Here every trial gets all of it at once, and is stopped by its own steps where Hyperband would not have run it
again: the same search without a second run. So its settings name a parameter, which is fixed, and a pruner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kubetuna.experiment import quantities
from kubetuna.experiment.field_errors import forbidden, invalid, required, unsupported
from kubetuna.experiment.model import Algorithm, Parameter
from kubetuna.parsing.fields import Fields

NAME = "hyperband"
SETTINGS = ("r_l", "resource_name", "eta", "random_state")
LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Halving:
    """What the algorithm becomes: a sampler, a pruner where there is something to prune, a fixed parameter."""

    sampler: Algorithm
    pruner: Algorithm | None
    parameters: tuple[Parameter, ...]
    note: str


def is_hyperband(spec: Fields) -> bool:
    """Whether the algorithm is Katib's."""
    return spec.child("algorithm").text("algorithmName") == NAME


def parse_hyperband(
    spec: Fields, settings: Sequence[tuple[str, object]], parameters: tuple[Parameter, ...]
) -> Halving | None:
    """Read it; None where something is wrong, which is noted."""
    fields = spec.child("algorithm")
    given = dict(settings)
    for index, (name, _) in enumerate(settings):
        if name not in SETTINGS:
            fields.problem(f"algorithmSettings[{index}].name", unsupported(name, SETTINGS))
    if "earlyStopping" in spec:
        spec.problem("earlyStopping", forbidden("algorithm hyperband is the pruner; leave one of the two out"))
    if not {"r_l", "resource_name"} <= {*given}:
        hint = "r_l and resource_name, as in Katib; for Optuna's pruner write spec.earlyStopping.algorithmName"
        fields.problem("algorithmSettings", required(hint))
        return None
    numbers = {
        name: _number(fields, settings, name, low) for name, low in (("r_l", 1), ("eta", 2), ("random_state", 0))
    }
    resource = next((p for p in parameters if p.name == given["resource_name"]), None)
    if resource is None or resource.kind == "categorical":
        known = [p.name for p in parameters if p.kind != "categorical"]
        fields.problem(_path(settings, "resource_name"), unsupported(given["resource_name"], known))
    most, seed = numbers["r_l"], numbers["random_state"]
    if resource is None or most is None or not fields.sound():
        return None
    return _mapped(resource, most, numbers["eta"] or 3, seed, parameters)


def _path(settings: Sequence[tuple[str, object]], name: str) -> str:
    return f"algorithmSettings[{[key for key, _ in settings].index(name)}].value"


def _number(fields: Fields, settings: Sequence[tuple[str, object]], name: str, low: int) -> int | None:
    given = dict(settings)
    if name not in given:
        return None
    found = quantities.number(given[name])
    if found is None or found != int(found) or not low <= found <= LIMIT:
        fields.problem(_path(settings, name), invalid(given[name], f"must be a whole number from {low} to {LIMIT}"))
        return None
    return int(found)


def _mapped(
    resource: Parameter, most: int, eta: int, seed: int | None, parameters: tuple[Parameter, ...]
) -> Halving:
    value = float(most) if resource.kind == "double" else most
    whole = Parameter(resource.name, resource.kind, value, value, when=resource.when)
    if resource.choices:
        whole = Parameter(resource.name, resource.kind, choices=(most,), when=resource.when)
    settings = {"min_resource": 1, "max_resource": most, "reduction_factor": eta}
    pruner = Algorithm("hyperband", settings) if most > 1 else None
    note = (
        f"algorithm hyperband: every trial gets {resource.name}={most} and is stopped by its steps where "
        f"it would not have been run again (earlyStopping hyperband, reduction_factor {eta}); print a step for "
        f"each of {most}"
    )
    return Halving(
        Algorithm("random", {}, seed),
        pruner,
        tuple(whole if p.name == resource.name else replace(p) for p in parameters),
        note,
    )
