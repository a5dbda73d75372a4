"""From a shape to a schema: what may be edited, what CEL can see, what a list's items are told apart by."""

from __future__ import annotations

from typing import Any

from kubetuna.experiment.field_errors import IMMUTABLE
from kubetuna.parsing.edits import immutable_changes
from kubetuna.parsing.openapi import openapi
from kubetuna.parsing.schema import (
    Flag,
    Forbidden,
    Free,
    Integer,
    List,
    Number,
    Object,
    Text,
    editable_paths,
    open_object,
)

FIXED = {"rule": "self == oldSelf", "message": IMMUTABLE}
ITEM = Object({"name": Text(low=1, high=9, required=True), "goal": Number(editable=True)})
SHAPE = Object(
    {
        "count": Integer(low=1, high=5, editable=True),
        "fixed": Integer(low=0, high=9, description="Never changes."),
        "needed": Flag(required=True),
        "whole": Object({"inner": Integer()}),
        "limits": Object({"hours": Number(above=0)}, editable=True),
        "unseen": Number(),
        "items": List(ITEM, high=3, key="name"),
        "names": List(Text(high=5), high=2, distinct=True),
        "gone": Forbidden("is not supported"),
    },
    one_of=("fixed", "whole"),
)


def rules(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = schema.get("x-kubernetes-validations", [])
    return found


def test_what_is_immutable_is_compared_at_its_highest_place_and_nowhere_else() -> None:
    fields = openapi(SHAPE, guarded=True)["properties"]
    assert (
        rules(fields["fixed"])
        == rules(fields["needed"])
        == rules(fields["whole"])
        == rules(fields["names"])
        == [FIXED]
    )
    assert not rules(fields["whole"]["properties"]["inner"])
    assert not rules(fields["count"]) and not rules(fields["limits"]) and not rules(fields["gone"])


def test_an_immutable_field_may_not_come_or_go() -> None:
    told = {
        rule["fieldPath"]: rule["rule"] for rule in rules(openapi(SHAPE, guarded=True)) if "oldSelf" in rule["rule"]
    }
    # A needed one cannot go, an editable one may, and CEL does not see a number that may be text.
    assert told == {
        f".{name}": f"has(self.{name}) == has(oldSelf.{name})" for name in ("fixed", "whole", "items", "names")
    }


def test_a_list_whose_items_may_be_edited_keeps_its_items() -> None:
    """An item under another key is a new one, with no old one that a rule of its own could compare it with."""
    found = openapi(SHAPE, guarded=True)["properties"]["items"]
    assert [rule["rule"] for rule in rules(found)] == ["self.map(item, item.name) == oldSelf.map(item, item.name)"]
    assert rules(found["items"]["properties"]["name"]) == [FIXED]
    assert found["x-kubernetes-list-type"] == "map" and found["x-kubernetes-list-map-keys"] == ["name"]


def test_what_excludes_another_field_or_is_forbidden_is_a_rule_of_the_object() -> None:
    told = [(rule["fieldPath"], rule["rule"], rule["reason"]) for rule in rules(openapi(SHAPE))]
    assert told == [
        (".fixed", "has(self.fixed) || has(self.whole)", "FieldValueRequired"),
        (".whole", "!has(self.fixed) || !has(self.whole)", "FieldValueForbidden"),
        (".gone", "!has(self.gone)", "FieldValueForbidden"),
    ]


def test_bounds_types_and_words() -> None:
    found = openapi(
        open_object({"a": Text(words=("x", "y")), "b": Free("object"), "c": Number(), "d": Text(high=3)})
    )
    assert found == {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {
            "a": {"type": "string", "enum": ["x", "y"]},
            "b": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "c": {"x-kubernetes-preserve-unknown-fields": True},
            "d": {"type": "string", "maxLength": 3},
        },
    }


def test_the_editable_paths_are_those_of_the_shape() -> None:
    assert list(editable_paths(SHAPE, "spec")) == ["spec.count", "spec.limits", "spec.items[].goal"]


def test_a_change_is_refused_unless_the_shape_allows_it() -> None:
    old = {"spec": {"objectives": [{"metric": "a", "goal": 1}], "budget": {"gpuHours": 1}, "repeats": 1}}
    edited = {"spec": {"objectives": [{"metric": "a", "goal": 2}], "budget": {"gpuHours": 2}, "repeats": 1}}
    assert immutable_changes(old, edited) == ()
    other = {"spec": {"objectives": [{"metric": "b", "goal": 1}], "repeats": 2}}
    assert immutable_changes(old, other) == ("spec.objectives[0].metric", "spec.repeats")
