"""``spec.parameters``: names, types and feasible spaces, with what Katib accepts and then hangs on refused."""

from __future__ import annotations

import json
import math
from typing import Any

from kubetuna.experiment import quantities
from kubetuna.experiment.expressions import Expression, ExpressionError, in_backticks, in_quotes, parse_expression
from kubetuna.experiment.field_errors import duplicate, forbidden, invalid, shown
from kubetuna.experiment.model import Experiment, Parameter, Value
from kubetuna.parsing.fields import Fields
from kubetuna.trials.environment import bare, variable

INT_LIMIT = 2**53
# Of JSON: every trial's row in the database holds all choices, and its environment the one that it has.
CHOICE_LIMIT, LIST_LIMIT = 4096, 65_536


def parse_parameters(spec: Fields) -> tuple[Parameter, ...]:
    """Every parameter that can be read; problems are noted."""
    found: list[Parameter] = []
    taken: dict[str, str] = {}
    names = declared_names(spec)
    for fields in spec.objects("parameters"):
        parameter = _parameter(fields, taken, names)
        if parameter is not None:
            found.append(parameter)
    _check_conditions(spec, found, names)
    return tuple(found)


def warn_of_normal(experiment: Experiment) -> tuple[str, ...]:
    """Where a sampler takes nothing but the range of a parameter that has a normal distribution."""
    if experiment.algorithm.name == "random":
        return ()
    return tuple(
        f"parameter {p.name!r}: {experiment.algorithm.name} takes the range of its distribution "
        f"{'logNormal' if p.log else 'normal'}; random draws gather around the middle"
        for p in experiment.parameters
        if p.normal
    )


def declared_names(spec: Fields) -> frozenset[str]:
    """The names of all parameters, those with faults of their own included, so that one fault is told once."""
    return frozenset(name for name in _names(spec) or () if isinstance(name, str))


def is_any_unnamed(spec: Fields) -> bool:
    """Whether a parameter has no name that can be read, so that nobody knows which names there are."""
    names = _names(spec)
    return names is None or not all(isinstance(name, str) for name in names)


def _names(spec: Fields) -> list[object] | None:
    items = spec.raw("parameters")
    return [i.get("name") if isinstance(i, dict) else None for i in items] if isinstance(items, list) else None


def _parameter(fields: Fields, taken: dict[str, str], names: frozenset[str]) -> Parameter | None:
    name, kind = fields.text("name"), fields.text("parameterType")
    when = _when(fields, names)
    space = fields.child("feasibleSpace")
    if name is not None:
        _check_variable(fields, name, taken)
    if name is None or kind is None or not space.present:
        return None
    if kind in ("discrete", "categorical"):
        return _listed(space, name, kind, when)
    return _range(space, name, kind, when)


def _check_variable(fields: Fields, name: str, taken: dict[str, str]) -> None:
    other = taken.setdefault(variable(name), name)
    if other != name:
        rule = f"would be the variable {variable(name)}, as {other!r} is"
        fields.problem("name", invalid(name, rule))


def _when(fields: Fields, names: frozenset[str]) -> Expression | None:
    text = fields.text("when")
    if text is None:
        return None
    try:
        return parse_expression(text)
    except ExpressionError as error:
        fields.problem("when", invalid(text, f"{error}{in_backticks(text, names)}"))
        return None


def _listed(space: Fields, name: str, kind: Any, when: Expression | None) -> Parameter | None:
    for field in ("min", "max", "step"):
        if field in space:
            hint = "use list, or parameterType double or int"
            space.problem(field, forbidden(f"not for parameterType {kind}; {hint}"))
    values: list[Value] = []
    for index, item, _path in space.items("list"):
        value = quantities.number(item) if kind == "discrete" else item
        fault = _fault(value, kind)
        if fault:
            space.problem(f"list[{index}]", invalid(item, fault))
        elif value in values:
            # Optuna takes 1, 1.0 and True for the same choice, as Python does.
            space.problem(f"list[{index}]", duplicate(item))
        else:
            values.append(value)
    if sum(len(bare(value)) for value in values) > LIST_LIMIT:
        space.problem("list", invalid(len(values), f"holds more than {LIST_LIMIT} characters of JSON in all"))
    if not any(field in space for field in ("min", "max")):
        space.need("list", f"for parameterType {kind}")
    return Parameter(name, kind, choices=tuple(values), when=when) if values else None


def _fault(value: Any, kind: str) -> str:
    """What is wrong with one choice."""
    if kind == "discrete":
        return "must be a finite number; for other values use parameterType categorical" if value is None else ""
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (ValueError, OverflowError):
        return "must be finite"
    if size > CHOICE_LIMIT:
        return f"is {size} characters of JSON; a choice may have {CHOICE_LIMIT}; put it into a file and list names"
    return ""


def _range(space: Fields, name: str, kind: Any, when: Expression | None) -> Parameter | None:
    if "list" in space:
        space.problem(
            "list", forbidden(f"not for parameterType {kind}; use min and max, or parameterType discrete")
        )
    for field in ("min", "max") if "list" not in space else ():
        space.need(field, f"for parameterType {kind}")
    low, high, step = (_bound(space, field, kind) for field in ("min", "max", "step"))
    distribution = space.text("distribution") or ""
    log = distribution in ("logUniform", "logNormal")
    if log:
        _check_logarithm(space, kind, low, step)
    if low is None or high is None or not _spans(space, kind, low, high, step):
        return None
    return Parameter(name, kind, low, high, step, log, when=when, normal=distribution in ("normal", "logNormal"))


def _check_logarithm(space: Fields, kind: str, low: float | int | None, step: float | int | None) -> None:
    if low is not None and low <= 0:
        rule = f"should be greater than 0 for distribution {space.text('distribution')}"
        space.problem("min", invalid(space.raw("min"), rule))
    if step is not None and not (kind == "int" and step == 1):
        space.problem("step", forbidden(f"mutually exclusive with distribution {space.text('distribution')}"))


def _spans(space: Fields, kind: str, low: float | int, high: float | int, step: float | int | None) -> bool:
    """Whether a range has points, and not too many."""
    lowest = shown(space.raw("min"))
    if low > high:
        space.problem("max", invalid(space.raw("max"), f"should be greater than or equal to min, {lowest}"))
        return False
    if not math.isfinite(float(high) - float(low)):
        space.problem("max", invalid(space.raw("max"), f"is too far from min, {lowest}"))
        return False
    if step is not None and kind == "double" and (float(high) - float(low)) / float(step) > 1e9:
        space.problem("step", invalid(space.raw("step"), "is too small for the range"))
        return False
    return True


def _bound(space: Fields, field: str, kind: str) -> float | int | None:
    value = space.number(field)
    if value is None or kind == "double":
        return None if value is None else float(value)
    if float(value) != int(value):
        space.problem(field, invalid(space.raw(field), "must be of type integer for parameterType int"))
        return None
    if abs(value) > INT_LIMIT:
        space.problem(field, invalid(space.raw(field), "is beyond ±2^53, where integers are exact"))
        return None
    return int(value)


def _check_conditions(spec: Fields, found: list[Parameter], names: frozenset[str]) -> None:
    for index, item in enumerate(spec.raw("parameters") if isinstance(spec.raw("parameters"), list) else []):
        parameter = next((p for p in found if isinstance(item, dict) and p.name == item.get("name")), None)
        if parameter is None or parameter.when is None:
            continue
        for name in sorted(parameter.when.names - names):
            hint = in_backticks(parameter.when.text, names) or in_quotes(name)
            why = f"{name!r} is not a parameter{hint}"
            spec.problem(f"parameters[{index}].when", invalid(parameter.when.text, why))
        if _reaches(parameter.name, parameter, {p.name: p for p in found}, set()):
            spec.problem(
                f"parameters[{index}].when",
                invalid(parameter.when.text, f"{parameter.name!r} would depend on itself"),
            )


def _reaches(target: str, start: Parameter, by_name: dict[str, Parameter], seen: set[str]) -> bool:
    for name in start.when.names if start.when else ():
        if name == target:
            return True
        if name not in seen and name in by_name:
            seen.add(name)
            if _reaches(target, by_name[name], by_name, seen):
                return True
    return False
