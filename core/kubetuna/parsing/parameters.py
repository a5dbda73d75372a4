"""``spec.parameters``: names, types and feasible spaces, with what Katib accepts and then hangs on refused."""

from __future__ import annotations

import math
import re
from typing import Any

from kubetuna.experiment import quantities
from kubetuna.experiment.expressions import Expression, ExpressionError, parse_expression
from kubetuna.experiment.model import Parameter, Scalar
from kubetuna.parsing.fields import Fields, shown
from kubetuna.trials.environment import variable

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
NAME_LIMIT = 128
KINDS = ("double", "int", "discrete", "categorical")
INT_LIMIT = 2**53
LIST_LIMIT = 1000
PARAMETER_LIMIT = 200


def parse_parameters(spec: Fields) -> tuple[Parameter, ...]:
    """Every parameter that can be read; problems are noted."""
    found: list[Parameter] = []
    taken: dict[str, str] = {}
    for index, item, path in spec.items("parameters"):
        if index == PARAMETER_LIMIT:
            spec.problem("parameters", f"more than {PARAMETER_LIMIT} parameters")
            break
        parameter = _parameter(Fields(item if item is not None else {}, path, spec.problems), taken)
        if parameter is not None:
            found.append(parameter)
    if not spec.raw("parameters") and "nasConfig" not in spec:
        spec.problem("parameters", "at least one parameter is needed")
    _check_conditions(spec, found, declared_names(spec))
    return tuple(found)


def declared_names(spec: Fields) -> frozenset[str]:
    """The names of all parameters, those with faults of their own included, so that one fault is told once."""
    items = spec.raw("parameters")
    named = (i.get("name") for i in items if isinstance(i, dict)) if isinstance(items, list) else ()
    return frozenset(name for name in named if isinstance(name, str))


def _parameter(fields: Fields, taken: dict[str, str]) -> Parameter | None:
    fields.known(("name", "parameterType", "feasibleSpace", "when", "description"))
    name = _name(fields, taken)
    kind = fields.text("parameterType", words=KINDS)
    if kind is None and "parameterType" not in fields:
        fields.problem("parameterType", f"is needed; allowed: {', '.join(KINDS)}")
    when = _when(fields)
    if "feasibleSpace" not in fields:
        fields.problem("feasibleSpace", "is needed: min and max, or a list")
        return None
    space = fields.child("feasibleSpace")
    space.known(("min", "max", "step", "list", "distribution"))
    if name is None or kind is None:
        return None
    if kind in ("discrete", "categorical"):
        return _listed(space, name, kind, when)
    return _range(space, name, kind, when)


def _name(fields: Fields, taken: dict[str, str]) -> str | None:
    name = fields.text("name")
    if name is None:
        if "name" not in fields:
            fields.problem("name", "is needed")
        return None
    if not NAME.match(name) or len(name) > NAME_LIMIT:
        rule = f"letters, digits, _ . -, first a letter or _, at most {NAME_LIMIT} characters"
        fields.problem("name", f"{shown(name)} is no parameter name: {rule}")
        return None
    other = taken.setdefault(variable(name), name)
    if other != name:
        fields.problem("name", f"{name!r} and {other!r} would both be the variable {variable(name)}")
    elif name in taken.get("", "").split("\n"):
        fields.problem("", f"{name!r} is there twice")
    taken[""] = taken.get("", "") + "\n" + name
    return name


def _when(fields: Fields) -> Expression | None:
    text = fields.raw("when")
    if text is None:
        return None
    try:
        return parse_expression(text)
    except ExpressionError as error:
        fields.problem("when", str(error))
        return None


def _listed(space: Fields, name: str, kind: Any, when: Expression | None) -> Parameter | None:
    for field in ("min", "max", "step"):
        if field in space:
            space.problem(field, f"is not for parameterType {kind}; use list")
    values: list[Scalar] = []
    for index, item, _path in space.items("list"):
        value = quantities.number(item) if kind == "discrete" else item
        if value is None or not isinstance(value, str | int | float | bool):
            word = "a finite number" if kind == "discrete" else "text, a number or a boolean"
            space.problem(f"list[{index}]", f"{shown(item)} must be {word}")
        elif isinstance(value, float) and quantities.number(value) is None:
            space.problem(f"list[{index}]", f"{shown(item)} must be finite")
        elif any(type(value) is type(v) and value == v for v in values) or _as_number(value, values):
            space.problem(f"list[{index}]", f"{shown(item)} is there twice")
        else:
            values.append(value)
    if not values and not isinstance(space.raw("list"), str):
        space.problem("list", "is needed, with at least one entry")
        return None
    if len(values) > LIST_LIMIT:
        space.problem("list", f"more than {LIST_LIMIT} entries")
    return Parameter(name, kind, choices=tuple(values), when=when)


def _as_number(value: Scalar, values: list[Scalar]) -> bool:
    """Optuna takes 1, 1.0 and True for the same choice."""
    return not isinstance(value, str) and any(not isinstance(v, str) and v == value for v in values)


def _range(space: Fields, name: str, kind: Any, when: Expression | None) -> Parameter | None:
    if "list" in space:
        space.problem("list", f"is not for parameterType {kind}; use min and max")
    bounds = {field: _bound(space, field, kind) for field in ("min", "max", "step")}
    for field in ("min", "max"):
        if field not in space:
            space.problem(field, f"is needed for parameterType {kind}")
    log = _distribution(space)
    low, high, step = bounds["min"], bounds["max"], bounds["step"]
    if low is not None and high is not None and low > high:
        space.problem("max", f"{shown(space.raw('max'))} is below min {shown(space.raw('min'))}")
        return None
    if step is not None and step <= 0:
        space.problem("step", f"{shown(space.raw('step'))} must be above 0")
        step = None
    if log and low is not None and low <= 0:
        space.problem("min", f"{shown(space.raw('min'))} must be above 0 for distribution logUniform")
    if log and step is not None and not (kind == "int" and step == 1):
        space.problem("step", "cannot be joined with distribution logUniform")
    if low is None or high is None:
        return None
    if not math.isfinite(float(high) - float(low)):
        space.problem("max", f"{shown(space.raw('max'))} is too far from min {shown(space.raw('min'))}")
        return None
    if step is not None and kind == "double" and (float(high) - float(low)) / float(step) > 1e9:
        space.problem("step", f"{shown(space.raw('step'))} is too small for the range")
        return None
    return Parameter(name, kind, low, high, step, log, when=when)


def _bound(space: Fields, field: str, kind: str) -> float | int | None:
    value = space.number(field)
    if value is None:
        return None
    if kind == "double":
        return float(value)
    if float(value) != int(value):
        space.problem(field, f"{shown(space.raw(field))} must be an integer for parameterType int")
        return None
    if abs(value) > INT_LIMIT:
        space.problem(field, f"{shown(space.raw(field))} is beyond ±2^53, where integers are exact")
        return None
    return int(value)


def _distribution(space: Fields) -> bool:
    name = space.text("distribution", "uniform", ("uniform", "logUniform", "normal", "logNormal"))
    if name in ("normal", "logNormal"):
        space.problem(
            "distribution",
            f"{name!r} is not supported yet: Optuna has no unbounded distribution; "
            "use uniform or logUniform over the range that matters",
        )
    return name == "logUniform"


def _check_conditions(spec: Fields, found: list[Parameter], names: frozenset[str]) -> None:
    for index, item in enumerate(spec.raw("parameters") if isinstance(spec.raw("parameters"), list) else []):
        parameter = next((p for p in found if isinstance(item, dict) and p.name == item.get("name")), None)
        if parameter is None or parameter.when is None:
            continue
        for name in sorted(parameter.when.names - names):
            spec.problem(f"parameters[{index}].when", f"names {name!r}, which is no parameter")
        if _reaches(parameter.name, parameter, {p.name: p for p in found}, set()):
            spec.problem(f"parameters[{index}].when", f"{parameter.name!r} would depend on itself")


def _reaches(target: str, start: Parameter, by_name: dict[str, Parameter], seen: set[str]) -> bool:
    for name in start.when.names if start.when else ():
        if name == target:
            return True
        if name not in seen and name in by_name:
            seen.add(name)
            if _reaches(target, by_name[name], by_name, seen):
                return True
    return False
