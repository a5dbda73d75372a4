"""``spec.warmStart``: literal points that are tried first, and earlier studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubetuna.spec import quantities
from kubetuna.spec.fields import Fields, shown
from kubetuna.spec.model import Parameter, Scalar

POINT_LIMIT = 1000


def parse_warm_start(
    spec: Fields, parameters: Sequence[Parameter]
) -> tuple[tuple[Mapping[str, Scalar], ...], tuple[Mapping[str, Any], ...]]:
    """Points in the parameters' own types, and the studies as written."""
    fields = spec.child("warmStart")
    fields.known(("points", "studies"))
    if "studies" in fields:
        fields.problem("studies", "is not supported yet; write their best points under points")
    by_name = {p.name: p for p in parameters}
    points = []
    for index, item, path in fields.items("points"):
        if index >= POINT_LIMIT:
            fields.problem("points", f"more than {POINT_LIMIT} points")
            break
        points.append(_point(Fields(item, path, spec.problems), by_name))
    return tuple(points), ()


def _point(fields: Fields, by_name: Mapping[str, Parameter]) -> dict[str, Scalar]:
    fields.known(tuple(by_name))
    point: dict[str, Scalar] = {}
    for name, value in fields.raw_all().items():
        if name in by_name:
            found = point_value(by_name[name], value)
            if found is None:
                fields.problem(name, f"{shown(value)} is outside the feasible space of {name!r}")
            else:
                point[name] = found
    return point


def point_value(parameter: Parameter, raw: Any) -> Scalar | None:
    """A value in the parameter's own type; None where it is none of its feasible space."""
    if parameter.choices:
        return next((c for c in parameter.choices if c == raw and type(c) is type(raw)), None) or next(
            (c for c in parameter.choices if parameter.kind == "discrete" and quantities.number(raw) == c), None
        )
    number = quantities.number(raw)
    if number is None or parameter.low is None or parameter.high is None:
        return None
    if not parameter.low <= number <= parameter.high:
        return None
    if parameter.kind == "int":
        return int(number) if float(number).is_integer() and _on_step(parameter, int(number)) else None
    return float(number)


def _on_step(parameter: Parameter, value: int) -> bool:
    return (value - int(parameter.low or 0)) % int(parameter.step or 1) == 0
