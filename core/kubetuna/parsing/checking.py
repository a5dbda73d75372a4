"""A document against its shape: every field that is unknown, missing, of the wrong type or out of bounds.

What a shape cannot say, such as that a range is not empty, is for the parsers, which read what passed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.errors import Problem
from kubetuna.experiment import quantities
from kubetuna.experiment.field_errors import (
    duplicate,
    exclusive,
    forbidden,
    invalid,
    printable,
    required,
    shown,
    too_long,
    too_many,
    unknown,
    unsupported,
)
from kubetuna.parsing.schema import (
    Duration,
    Flag,
    Forbidden,
    Free,
    Integer,
    IntegerOr,
    List,
    Named,
    Node,
    Number,
    Object,
    Text,
)


def below(path: str, name: object) -> str:
    """The path of a field; its name may be hostile."""
    field = printable(str(name)[:200])
    return f"{path}.{field}" if path else field


def check(node: Node, value: Any, path: str) -> Iterator[Problem]:
    """Everything that is wrong with a value that is there."""
    if isinstance(node, Object):
        found = tuple(_object(node, value, path))
        yield from [p for p in found if node.decided_by and p.path == below(path, node.decided_by)] or found
    elif isinstance(node, List):
        yield from _list(node, value, path)
    elif isinstance(node, Named):
        yield from check(node.whole, {node.by: value} if isinstance(value, str) else value, path)
    elif isinstance(node, IntegerOr) and isinstance(value, Mapping):
        yield from check(node.other, value, path)
    else:
        fault = _scalar(node, value)
        if fault:
            yield Problem(path, fault)


def _object(node: Object, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, invalid(value, f"must be of type object{_as_object(node, value)}"))
        return
    if node.high is not None and len(value) > node.high:
        yield Problem(path, too_many(len(value), node.high))
    for name in value:
        if name not in node.fields and node.values is None:
            yield Problem(below(path, name), unknown(name, tuple(node.fields)))
        elif value[name] is not None:
            child = node.fields.get(name) or node.values or Free()
            yield from check(child, value[name], below(path, name))
    for name, child in node.fields.items():
        if child.required and value.get(name) is None:
            yield Problem(below(path, name), required(_wanted(child)))
    yield from _one_of(node, value, path)


def _as_object(node: Object, value: Any) -> str:
    """What to write where the value of the one field that is required stands in place of the object."""
    needed = [name for name, child in node.fields.items() if child.required]
    return f"; write {{{needed[0]}: {shown(value)}}}" if len(needed) == 1 and isinstance(value, str) else ""


def _as_list(item: Node, value: Any) -> str:
    """What to write where a line of words, or a mapping by name, stands in place of a list."""
    if isinstance(value, str) and isinstance(item, Text):
        words = [shown(word) for word in value.split()]
        return f"; write a list: [{', '.join(words[:2])}{', …' * (len(words) > 2)}]"
    if not (isinstance(value, Mapping) and value and isinstance(item, Object) and "name" in item.fields):
        return ""
    name, given = next(iter(value.items()))
    quoted = isinstance(item.fields.get("value"), Text) and not isinstance(given, str)
    text = f'"{shown(given)}"' if quoted else shown(given)
    rest = f"value: {text}" if "value" in item.fields and not isinstance(given, Mapping) else "…"
    return f"; write a list: [{{name: {shown(name)}, {rest}}}]"


def _one_of(node: Object, value: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if node.one_of is None:
        return
    first, second = node.one_of
    there = sum(value.get(name) is not None for name in node.one_of)
    if there == 0:
        yield Problem(below(path, first), required(_wanted(node.fields[first])))
    if there == 2:
        yield Problem(below(path, second), forbidden(exclusive(first)))


def _wanted(node: Node) -> str:
    if isinstance(node, Text) and node.words:
        return "one of " + ", ".join(map(shown, node.words))
    return node.description


def _list(node: List, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, invalid(value, f"must be of type array{_as_list(node.item, value)}"))
        return
    if len(value) < node.low:
        yield Problem(path, invalid(len(value), f"should have at least {node.low} items"))
    if len(value) > node.high:
        yield Problem(path, too_many(len(value), node.high))
        return
    seen: list[object] = []
    for index, item in enumerate(value):
        at = f"{path}[{index}]"
        faults = list(check(node.item, {} if item is None and isinstance(node.item, Object) else item, at))
        yield from faults
        identity = _identity(node, item)
        if identity is not None and identity in seen:
            yield Problem(at, duplicate(identity))
        seen.append(identity)


def _identity(node: List, item: Any) -> object:
    """What no other item may share; None where any may."""
    if node.key:
        name = item.get(node.key) if isinstance(item, Mapping) else None
        return {node.key: name} if isinstance(name, str) else None
    return item if node.distinct else None


def _scalar(node: Node, value: Any) -> str | None:
    if isinstance(node, Text):
        return _text(node, value)
    if isinstance(node, Integer):
        return _integer(node, value)
    if isinstance(node, Number):
        return _number(node, value)
    if isinstance(node, Duration) and quantities.seconds(value) is None:
        return invalid(value, "must be a duration above 0, such as 90s, 30m, 1h30m")
    if isinstance(node, Flag) and not isinstance(value, bool):
        return invalid(value, "must be of type boolean")
    if isinstance(node, Free) and node.kind == "object" and not isinstance(value, Mapping):
        return invalid(value, "must be of type object")
    return forbidden(node.because) if isinstance(node, Forbidden) else None


def _text(node: Text, value: Any) -> str | None:
    if not isinstance(value, str):
        return invalid(value, "must be of type string; quote it")
    if node.words:
        hint = f"; {node.instead[value]}" if value in node.instead else ""
        return None if value in node.words else unsupported(value, tuple(node.words), hint)
    if len(value) < node.low:
        return invalid(value, f"should be at least {node.low} chars long")
    if node.high is not None and len(value) > node.high:
        return too_long(node.high)
    # re's "$" would let a last line break through.
    if node.pattern and not re.match(node.pattern.removesuffix("$") + r"\Z", value):
        return invalid(value, f"should match '{node.pattern}' ({node.says})")
    return None


def _integer(node: Integer, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        other = f" or {{{', '.join(node.other.fields)}}}" if isinstance(node, IntegerOr) else ""
        return invalid(value, f"must be of type integer{other}")
    if node.low is not None and value < node.low:
        return invalid(value, f"should be greater than or equal to {node.low}")
    if node.high is not None and value > node.high:
        return invalid(value, f"should be less than or equal to {node.high}")
    return None


def _number(node: Number, value: Any) -> str | None:
    if isinstance(value, str) and value in node.words:
        return None
    found = quantities.number(value)
    if found is None:
        return invalid(value, " or ".join(("must be a finite number", *node.words)))
    if node.above is not None and found <= node.above:
        return invalid(value, f"should be greater than {node.above:g}")
    return None
