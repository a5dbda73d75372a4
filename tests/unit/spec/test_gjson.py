"""Katib's conditions: what a path finds, when that counts, and what is refused with its position."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetuna.experiment.kinds.gjson import GjsonError, parse_condition

OBJECT = {
    "status": {
        "phase": "Succeeded",
        "active": 2,
        "ready": True,
        "empty": [],
        "a.b": {"c": 1},
        "nothing": None,
        "conditions": [
            {"type": "Running", "status": "False", "lastCode": 3},
            {"type": "Complete", "status": "True", "message": "done"},
        ],
        "replicas": {"Master": {"succeeded": 1}, "Worker": {"failed": 2}},
        "nested": [{"name": "x", "parts": [{"k": "v"}]}, {"name": "y", "parts": []}],
    }
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('status.conditions.#(type=="Complete")#|#(status=="True")#', True),
        ('status.conditions.#(type=="Running")#|#(status=="True")#', False),
        ('status.conditions.#(type=="Failed")#|#(status=="True")#', False),
        ("status.conditions.#(type==Complete)", True),
        ('status.conditions.#(type!="Complete")#', True),
        ('status.conditions.#(type%"Com*")#', True),
        ('status.conditions.#(type!%"*")#', False),
        ("status.conditions.#(lastCode>2)#", True),
        ("status.conditions.#(lastCode>3)#", False),
        ('status.conditions.#(lastCode=="3")#', False),
        ("status.conditions.#(message)#", True),
        ("status.conditions.#(reason)#", False),
        ("status.conditions.#.type", True),
        ("status.conditions.#", False),
        ("status.conditions.1", True),
        ("status.conditions.7", False),
        ("status.conditions", True),
        ("status.empty", False),
        ("status.phase", False),
        ("status.active", False),
        ('status.[@this].#(phase=="Succeeded")#', True),
        ('status.[@this].#(phase=="Failed")#', False),
        ("status.[@this].#(ready==true)#", True),
        ("status.[@this].#(ready==false)#", False),
        ("status.[@this].#(nothing==null)#", False),
        ("status.replicas.*.succeeded", False),
        ("status.replicas.M?ster", True),
        ("status.a\\.b", True),
        ("status.a.b", False),
        ('status.nested.#(parts.#(k=="v"))#', True),
        ('status.nested.#(parts.#(k=="w"))#', False),
        ('status.nested.#.parts|#(k=="v")#', False),
        ("spec.x", False),
    ],
)
def test_a_condition_holds_where_it_finds_an_object_or_a_list_with_something_in_it(text: str, holds: bool) -> None:
    assert (parse_condition(text).found(OBJECT) is not None) == holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("status.", "character 8"),
        ("status..phase", "character 8"),
        ("@this", "modifiers ('@' at character 1)"),
        ("status.@reverse", "modifiers ('@' at character 8)"),
        ("status.{phase,active}", "multipaths ('{' at character 8)"),
        ('status.!"x"', "literals ('!' at character 8)"),
        ('status.conditions.#(type=="Complete"', "parenthesis at character 20"),
        ('status.conditions.#(type=="Complete)#', "parenthesis at character 20"),
        ("status.conditions.#()#", "character 21"),
        ("status.conditions.#(ready==~true)#", "character 21"),
        ("status.conditions.#(a.@b==1)#", "modifiers ('@' at character 23)"),
        ("status.conditions#(a==1)x", None),
        ("status.conditions.#(a==1)x", "'x' at character 26"),
        ("#(" * 20 + "a" + ")" * 20, "more than 8 deep"),
    ],
)
def test_what_is_not_known_is_refused_with_its_position(text: str, said: str | None) -> None:
    if said is None:
        assert parse_condition(text).found(OBJECT) is None
        return
    with pytest.raises(GjsonError) as caught:
        parse_condition(text)
    assert said in str(caught.value)


PARTS = st.sampled_from(
    [
        "status",
        ".",
        "|",
        "#",
        "(",
        ")",
        '"',
        "\\",
        "a",
        "==",
        "%",
        "!",
        "*",
        "?",
        "1",
        "@",
        "[",
        "{",
        "[@this]",
        "\n",
    ]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["status", "a", "1"]), inner),
    max_leaves=8,
)


@given(st.lists(PARTS, max_size=24).map("".join), ANY)
def test_no_text_and_no_object_does_harm(text: str, obj: object) -> None:
    try:
        condition = parse_condition(text)
    except GjsonError:
        return
    assert condition.found({"status": obj}) is None or condition.words is not None
    assert isinstance(condition.field, str)
