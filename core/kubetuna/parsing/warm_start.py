"""``spec.warmStart``: literal points that are tried first, and earlier studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kubetuna.experiment import quantities
from kubetuna.experiment.model import Constraint, EarlierStudy, Parameter, Scalar
from kubetuna.parsing.fields import Fields, shown

POINT_LIMIT = 1000
STUDY_LIMIT = 20


def parse_warm_start(
    spec: Fields, parameters: Sequence[Parameter], constraints: Sequence[Constraint], declared: frozenset[str]
) -> tuple[tuple[Mapping[str, Scalar], ...], tuple[EarlierStudy, ...]]:
    """Points in the parameters' own types, and the studies to start from."""
    fields = spec.child("warmStart")
    fields.known(("points", "studies"))
    by_name = {p.name: p for p in parameters}
    points = []
    for index, item, path in fields.items("points"):
        if index >= POINT_LIMIT:
            fields.problem("points", f"more than {POINT_LIMIT} points")
            break
        point = Fields(item, path, spec.problems)
        point.known(sorted(declared))
        found = _point(point, by_name)
        _check_together(point, found, by_name, constraints)
        points.append(found)
    return tuple(points), _studies(fields)


def _studies(fields: Fields) -> tuple[EarlierStudy, ...]:
    """Each a name, or ``{study: NAME, points: N, trials: true}``."""
    found: list[EarlierStudy] = []
    raw = fields.raw("studies")
    if raw is not None and not isinstance(raw, list):
        fields.problem("studies", f"{shown(raw)} must be a list of names")
        return ()
    for index, item in enumerate(raw or ()):
        if index >= STUDY_LIMIT:
            fields.problem("studies", f"more than {STUDY_LIMIT} studies")
            break
        entry = {"study": item} if isinstance(item, str) else item
        one = Fields(entry, f"{fields.path}.studies[{index}]", fields.problems)
        one.known(("study", "points", "trials"))
        name = one.text("study")
        if name is None and "study" not in one:
            one.problem("study", "is needed: the name of a study in the same store")
        points = one.count("points", 0, POINT_LIMIT)
        if name is not None:
            found.append(EarlierStudy(name, 5 if points is None else points, one.flag("trials")))
    return tuple(found)


def _point(fields: Fields, by_name: Mapping[str, Parameter]) -> dict[str, Scalar]:
    point: dict[str, Scalar] = {}
    for name, value in fields.raw_all().items():
        if name in by_name:
            found = point_value(by_name[name], value)
            if found is None:
                fields.problem(name, f"{shown(value)} is outside the feasible space of {name!r}")
            else:
                point[name] = found
    return point


def _check_together(
    fields: Fields,
    point: Mapping[str, Scalar],
    by_name: Mapping[str, Parameter],
    constraints: Sequence[Constraint],
) -> None:
    """Refuse what would be dropped, or never be started; what a point leaves open is drawn."""
    for name in point:
        when = by_name[name].when
        if when is not None and when.applies(point) and not when.evaluate(point):
            fields.problem(name, f"{name!r} does not exist at this point: {when.text!r} does not hold")
    for constraint in constraints:
        expression = constraint.expression
        if constraint.over == "parameters" and expression.applies(point) and not expression.evaluate(point):
            fields.problem("", f"this point violates the constraint {constraint.text!r}")


def point_value(parameter: Parameter, raw: Any) -> Scalar | None:
    """A value in the parameter's own type; None where it is outside the feasible space."""
    if parameter.choices:
        return next((choice for choice in parameter.choices if _same(parameter, choice, raw)), None)
    number = quantities.number(raw)
    if number is None or parameter.low is None or parameter.high is None:
        return None
    if not parameter.low <= number <= parameter.high or not _on_step(parameter, number):
        return None
    if parameter.kind == "int":
        return int(number) if float(number).is_integer() else None
    return float(number)


def _same(parameter: Parameter, choice: Scalar, raw: Any) -> bool:
    if parameter.kind == "discrete":
        return quantities.number(raw) == choice
    return choice == raw and isinstance(choice, bool) == isinstance(raw, bool)


def _on_step(parameter: Parameter, value: float | int) -> bool:
    step = parameter.step or (1 if parameter.kind == "int" else None)
    if step is None:
        return True
    steps = (value - (parameter.low or 0)) / step
    return math.isclose(steps, round(steps), abs_tol=1e-9)
