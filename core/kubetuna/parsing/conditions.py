"""``spec.constraints`` and what can be proven of conditions before anything runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException

from kubetuna.experiment.expressions import (
    ARITHMETIC,
    Expression,
    ExpressionError,
    Node,
    in_backticks,
    parse_expression,
)
from kubetuna.experiment.field_errors import invalid
from kubetuna.experiment.model import Constraint, Experiment, Parameter
from kubetuna.experiment.quantities import exact
from kubetuna.experiment.steps import values_of
from kubetuna.parsing.fields import Fields
from kubetuna.parsing.goals import where_further

ENUMERATION_LIMIT = 20_000

Interval = tuple[Decimal, Decimal]


def parse_constraints(
    spec: Fields, parameters: Sequence[Parameter], names: frozenset[str], metrics: Sequence[str]
) -> tuple[Constraint, ...]:
    """Every constraint that can be read; problems are noted. ``names`` are those of all parameters."""
    found: list[Constraint] = []
    for index, text, _path in spec.items("constraints"):
        field = f"constraints[{index}]"
        try:
            expression = parse_expression(text)
        except ExpressionError as error:
            spec.problem(field, invalid(text, f"{error}{in_backticks(str(text), (*names, *metrics))}"))
            continue
        unknown = sorted(expression.names - names - set(metrics))
        if unknown:
            hint = in_backticks(text, (*names, *metrics)) or where_further(spec)
            spec.problem(field, invalid(text, f"{unknown[0]!r} is neither a parameter nor a metric{hint}"))
            continue
        over = "metrics" if expression.names - names else "parameters"
        if over == "parameters" and _never(expression, parameters):
            spec.problem(field, invalid(text, "holds nowhere in the search space"))
        found.append(Constraint(text, expression, "metrics" if over == "metrics" else "parameters"))
    return tuple(found)


def warn_of_conditions(experiment: Experiment) -> tuple[str, ...]:
    """Conditions that never hold, so that a parameter never exists."""
    return tuple(
        f"parameter {p.name!r} never exists: {p.when.text!r} holds nowhere in the search space"
        for p in experiment.parameters
        if p.when is not None and impossible(p.when, experiment.parameters)
    )


def _never(expression: Expression, parameters: Sequence[Parameter]) -> bool:
    """Whether a constraint is proven to be violated wherever it applies, and to apply everywhere."""
    used = [p for p in parameters if p.name in expression.names]
    everywhere = len(used) == len(expression.names) and all(p.when is None for p in used)
    return everywhere and impossible(expression, parameters)


def impossible(expression: Expression, parameters: Sequence[Parameter]) -> bool:
    """Whether an expression is proven to hold nowhere, by enumeration where that is small, else by intervals."""
    used = [p for p in parameters if p.name in expression.names]
    domains = [values_of(p) for p in used]
    if all(d is not None for d in domains) and math.prod(len(d or ()) for d in domains) <= ENUMERATION_LIMIT:
        names = [p.name for p in used]
        points = itertools.product(*(d or () for d in domains))
        return not any(expression.evaluate(dict(zip(names, point, strict=True))) for point in points)
    return not _possible(expression.root, {p.name: _interval(p) for p in used}, True)


def _interval(parameter: Parameter) -> Interval | None:
    numbers = [v for v in parameter.choices if isinstance(v, int | float) and not isinstance(v, bool)]
    if parameter.choices:
        whole = len(numbers) == len(parameter.choices)
        return (exact(min(numbers)), exact(max(numbers))) if whole and numbers else None
    assert parameter.low is not None and parameter.high is not None
    return exact(parameter.low), exact(parameter.high)


_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


def _possible(node: Node, known: Mapping[str, Interval | None], wanted: bool) -> bool:
    """Whether it may be ``wanted`` somewhere; True where that cannot be told."""
    if node.op in ("or", "and"):
        some = any if (node.op == "or") == wanted else all
        return some(_possible(side, known, wanted) for side in node.args)
    if node.op == "not":
        return _possible(node.args[0], known, not wanted)
    if node.op in ("in", "not in"):
        value, listed = node.args
        inside = (node.op == "in") == wanted
        some = any if inside else all
        return some(_possible(Node("==", (value, item)), known, inside) for item in listed.args)
    if node.op not in _OPPOSITE:
        return True
    return _comparison_possible(node.op if wanted else _OPPOSITE[node.op], node.args, known)


def _comparison_possible(op: str, sides: Sequence[Node], known: Mapping[str, Interval | None]) -> bool:
    if sides[0] == sides[1]:
        return op in ("<=", ">=", "==")
    left, right = (_bounds(side, known) for side in sides)
    if op == "==" and ((left and _is_text(sides[1])) or (right and _is_text(sides[0]))):
        return False
    if left is None or right is None:
        return True
    return {
        "<": left[0] < right[1],
        "<=": left[0] <= right[1],
        ">": left[1] > right[0],
        ">=": left[1] >= right[0],
        "==": left[0] <= right[1] and right[0] <= left[1],
        "!=": not left[0] == left[1] == right[0] == right[1],
    }[op]


def _is_text(node: Node) -> bool:
    return node.op == "literal" and isinstance(node.args[0], str)


def _bounds(node: Node, known: Mapping[str, Interval | None]) -> Interval | None:
    if node.op == "literal":
        value = node.args[0]
        return (exact(value), exact(value)) if isinstance(value, int | float) else None
    if node.op == "name":
        return known.get(node.args[0])
    if node.op == "negative":
        inner = _bounds(node.args[0], known)
        return None if inner is None else (inner[1].copy_negate(), inner[0].copy_negate())
    if node.op not in ("+", "-", "*", "/"):
        return None
    left, right = (_bounds(side, known) for side in node.args)
    if left is None or right is None:
        return None
    return _combined(node.op, left, right)


def _combined(op: str, left: Interval, right: Interval) -> Interval | None:
    if op == "/" and right[0] <= 0 <= right[1]:
        return None
    try:
        corners = [ARITHMETIC[op](a, b) for a in left for b in right]
    except DecimalException:
        return None
    return min(corners), max(corners)
