"""``spec.warmStart``: literal points that are tried first, and earlier studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal

from kubetuna.errors import SpecError
from kubetuna.experiment import quantities
from kubetuna.experiment.field_errors import invalid, shown, unknown
from kubetuna.experiment.model import Constraint, EarlierStudy, Experiment, Parameter, Value
from kubetuna.experiment.steps import Steps, values_of
from kubetuna.parsing.fields import Faults, Fields
from kubetuna.parsing.yaml_text import load_documents

# Of the values that a parameter may have, in an error.
CHOICES_NAMED = 10


def parse_warm_start(
    spec: Fields, parameters: Sequence[Parameter], constraints: Sequence[Constraint], declared: frozenset[str]
) -> tuple[tuple[Mapping[str, Value], ...], tuple[EarlierStudy, ...]]:
    """Points in the parameters' own types, and the studies to start from."""
    fields = spec.child("warmStart")
    by_name = {p.name: p for p in parameters}
    points = [_checked(point, by_name, constraints, declared) for point in fields.objects("points")]
    return tuple(points), _studies(fields)


def given_point(spec: Experiment, raw: Mapping[str, Any]) -> dict[str, Value]:
    """A point that a person names, in the parameters' own types; what it leaves open is drawn.

    Raises:
        SpecError: it is outside the space, or violates a constraint.
    """
    by_name, faults = {p.name: p for p in spec.parameters}, Faults()
    point = _checked(Fields(raw, "", faults), by_name, spec.constraints, frozenset(by_name))
    if faults.problems:
        raise SpecError(tuple(faults.problems))
    return point


def named_point(spec: Experiment, texts: Mapping[str, str]) -> dict[str, Value]:
    """The same of a command line, with the same errors."""
    known = {p.name: p for p in spec.parameters}
    return given_point(spec, {n: _read(known[n], text) if n in known else text for n, text in texts.items()})


def _read(parameter: Parameter, text: str) -> Any:
    """The value that a text means for a parameter: as YAML reads it, else as it stands."""
    try:
        documents = load_documents(text)
    except SpecError:
        return text
    value = documents[0] if documents else None
    return text if point_value(parameter, value) is OUTSIDE else value


def _checked(
    fields: Fields, by_name: Mapping[str, Parameter], constraints: Sequence[Constraint], declared: frozenset[str]
) -> dict[str, Value]:
    for name in fields.raw_all():
        if name not in declared:
            fields.problem(str(name), unknown(name, sorted(declared)))
    point = _point(fields, by_name)
    _check_together(fields, point, by_name, constraints)
    return point


def _studies(fields: Fields) -> tuple[EarlierStudy, ...]:
    """Each a name, or ``{study: NAME, points: N, trials: true}``."""
    found: list[EarlierStudy] = []
    for _index, item, path in fields.items("studies"):
        one = Fields({"study": item} if isinstance(item, str) else item, path, fields.faults)
        name, points = one.text("study"), one.count("points")
        if name is not None:
            found.append(EarlierStudy(name, 5 if points is None else points, one.flag("trials")))
    return tuple(found)


def _point(fields: Fields, by_name: Mapping[str, Parameter]) -> dict[str, Value]:
    point: dict[str, Value] = {}
    for name, value in fields.raw_all().items():
        if name in by_name:
            found = point_value(by_name[name], value)
            if found is OUTSIDE:
                rule = f"is outside the feasible space of {name!r}: {_allowed(by_name[name])}"
                fields.problem(name, invalid(value, rule))
            else:
                point[name] = found
    return point


def _allowed(parameter: Parameter) -> str:
    """What a parameter may be, in words."""
    if parameter.choices:
        more = len(parameter.choices) - CHOICES_NAMED
        named = ", ".join(shown(choice) for choice in parameter.choices[:CHOICES_NAMED])
        return f"one of {named}{f' and {more} more' if more > 0 else ''}"
    step = f" in steps of {parameter.step:g}" if parameter.step else ""
    return f"from {parameter.low:g} to {parameter.high:g}{step}"


def _check_together(
    fields: Fields,
    point: Mapping[str, Value],
    by_name: Mapping[str, Parameter],
    constraints: Sequence[Constraint],
) -> None:
    """Refuse what would be dropped, or never be started; what a point leaves open is drawn."""
    for name in point:
        when = by_name[name].when
        if when is not None and when.applies(point) and not when.evaluate(point):
            why = f"{name!r} does not exist at this point: {when.text!r} does not hold"
            fields.problem(name, invalid(point[name], why))
    for constraint in constraints:
        expression = constraint.expression
        if constraint.over == "parameters" and expression.applies(point) and not expression.evaluate(point):
            fields.problem("", invalid(point, f"violates the constraint {constraint.text!r}"))


class _Outside(Enum):
    """The mark of a value that a parameter cannot have; None is one that it can."""

    OUTSIDE = 0


OUTSIDE: Final = _Outside.OUTSIDE


def point_value(parameter: Parameter, raw: Any) -> Value | Literal[_Outside.OUTSIDE]:
    """A value in the parameter's own type; ``OUTSIDE`` where it is outside the feasible space."""
    if parameter.choices:
        return next((choice for choice in parameter.choices if _same(parameter, choice, raw)), OUTSIDE)
    number = quantities.number(raw)
    if number is None or parameter.low is None or parameter.high is None:
        return OUTSIDE
    if parameter.kind == "int":
        return int(number) if number in (values_of(parameter) or ()) else OUTSIDE
    step = parameter.step
    if step is None:
        return float(number) if parameter.low <= number <= parameter.high else OUTSIDE
    value = Steps(float(parameter.low), float(parameter.high), float(step)).nearest(float(number))
    # As far as floating-point arithmetic may have carried it from its place.
    return value if math.isclose(number, value, abs_tol=step * 1e-6, rel_tol=0) else OUTSIDE


def _same(parameter: Parameter, choice: Value, raw: Any) -> bool:
    if parameter.kind == "discrete":
        return quantities.number(raw) == choice
    return choice == raw and isinstance(choice, bool) == isinstance(raw, bool)
