"""From a shape to the OpenAPI schema of a CRD, with the CEL rules that follow from it.

A field that cannot be edited gets a rule that compares it with the old one, at the highest place where all of it is
immutable; that it may not come or go is a rule of the object that holds it. Fields without a type are invisible to
CEL: a change of one that no such rule covers is refused by the operator only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubetuna.experiment.field_errors import IMMUTABLE, exclusive
from kubetuna.parsing.schema import (
    Decimal,
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
    children,
)

Schema = dict[str, Any]
_ANYTHING = "x-kubernetes-preserve-unknown-fields"
_FORBIDDEN = "FieldValueForbidden"
_RULES = "x-kubernetes-validations"


def openapi(node: Node, guarded: bool = False) -> Schema:
    """The schema of a node; ``guarded``: what is not editable in it must not change, and it has to see to that."""
    guarded = guarded and not node.editable
    whole = guarded and not _has_editable(node)
    schema: Schema = {"description": node.description} if node.description else {}
    schema |= _typed(node, guarded and not whole)
    rules = [_rule("self == oldSelf", IMMUTABLE)] if whole and _visible(node) else []
    rules += _own_rules(node, guarded and not whole)
    return schema | ({_RULES: rules} if rules else {})


def _typed(node: Node, guarded: bool) -> Schema:
    if isinstance(node, Object):
        return _object(node, guarded)
    if isinstance(node, List):
        return _list(node, guarded)
    if isinstance(node, Text):
        return _text(node)
    if isinstance(node, Integer):
        # The bounds of a number say nothing of an object.
        kind: Schema = {_ANYTHING: True, "multipleOf": 1} if isinstance(node, IntegerOr) else {"type": "integer"}
        return {**kind, **_given(minimum=node.low, maximum=node.high)}
    if isinstance(node, Forbidden):
        return {"type": node.kind} | ({_ANYTHING: True} if node.kind == "object" else {})
    if isinstance(node, Free):
        return ({"type": node.kind} if node.kind else {}) | {_ANYTHING: True}
    if isinstance(node, Flag | Decimal):
        return {"type": "boolean" if isinstance(node, Flag) else "number"}
    return {_ANYTHING: True}


def _text(node: Text) -> Schema:
    if node.words:
        return {"type": "string", "enum": list(node.words)}
    bounds = _given(minLength=node.low or None, maxLength=node.high, pattern=node.pattern or None)
    return {"type": "string", **bounds, **_given(format="date-time" if node.date else None)}


def _list(node: List, guarded: bool) -> Schema:
    kind: Schema = {"x-kubernetes-list-type": "set"} if node.distinct else {}
    if node.key:
        kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [node.key]}
    return {
        "type": "array",
        **_given(minItems=node.low or None),
        "maxItems": node.high,
        **kind,
        "items": openapi(node.item, guarded),
    }


def _object(node: Object, guarded: bool) -> Schema:
    needed = [name for name, child in node.fields.items() if child.required]
    return {
        "type": "object",
        **_given(required=needed or None, maxProperties=node.high),
        **_further(node),
        **_given(properties={name: openapi(child, guarded) for name, child in node.fields.items()} or None),
    }


def _further(node: Object) -> Schema:
    if node.values is None:
        return {}
    return {_ANYTHING: True} if isinstance(node.values, Free) else {"additionalProperties": openapi(node.values)}


def _own_rules(node: Node, guarded: bool) -> list[Schema]:
    if isinstance(node, List) and guarded:
        keys = f"map(item, item.{node.key})"
        return [_rule(f"self.{keys} == oldSelf.{keys}", IMMUTABLE)]
    if not isinstance(node, Object):
        return []
    rules = list(_one_of(node))
    rules += [_rule(r.cel, r.words, r.field, _FORBIDDEN if r.forbidden else "") for r in node.rules]
    for name, child in node.fields.items():
        if isinstance(child, Forbidden):
            rules.append(_rule(f"!has(self.{name})", child.because, name, _FORBIDDEN))
        elif guarded and _visible(child) and not child.required and not child.editable:
            rules.append(_rule(f"has(self.{name}) == has(oldSelf.{name})", IMMUTABLE, name))
    return rules


def _one_of(node: Object) -> Iterator[Schema]:
    if node.one_of is not None:
        first, second = node.one_of
        wanted = node.fields[first].description
        yield _rule(f"has(self.{first}) || has(self.{second})", wanted, first, "FieldValueRequired")
        both = f"!has(self.{first}) || !has(self.{second})"
        yield _rule(both, exclusive(first), second, _FORBIDDEN)


def _rule(cel: str, words: str, field: str = "", reason: str = "") -> Schema:
    return {
        "rule": cel,
        "message": words,
        **_given(reason=reason or None, fieldPath=f".{field}" if field else None),
    }


def _visible(node: Node) -> bool:
    """Whether CEL can see a field."""
    return not isinstance(node, Number | Duration | Named | Forbidden | IntegerOr) and not (
        isinstance(node, Free) and not node.kind
    )


def _has_editable(node: Node) -> bool:
    return node.editable or any(_has_editable(child) for _step, child in children(node))


def _given(**values: Any) -> Schema:
    return {name: value for name, value in values.items() if value is not None}
