"""What the fields of an object may hold, as values: the terms in which ``kubetuna.parsing.shape`` is written.

From the same nodes come the checks of a document (``checking``), the CRD's OpenAPI schema with its CEL rules
(``openapi``) and the list of fields that may be edited (``edits``). Nodes of our own rather than pydantic's models:
its errors have other paths and words than the API server's, it writes no CEL, and a number that may be text, which
OpenAPI in a CRD must leave without a type, would be a custom type with a schema of its own in each field.

A field is immutable unless it, or what holds it, is ``editable``: so a new one is safe by default.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One field or item; its description is what ``kubectl explain`` says.

    ``attribute``: the model's attribute that takes the value as it is. ``cluster``: a field without effect on a
    laptop, where it is ``noted`` or ``refused``.
    """

    description: str = ""
    required: bool = False
    editable: bool = False
    attribute: str = ""
    cluster: Literal["", "noted", "refused"] = ""


@dataclass(frozen=True, slots=True)
class Text(Node):
    """Text of ``low`` to ``high`` characters, one of ``words``, or of a pattern that ``says`` puts in words.

    ``instead``: what to do where one of these is written, which others know.
    """

    low: int = 0
    high: int | None = None
    words: Collection[str] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    pattern: str = ""
    says: str = ""
    date: bool = False


@dataclass(frozen=True, slots=True)
class Integer(Node):
    """A whole number between two bounds."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerOr(Integer):
    """A whole number, or an object in its place: in OpenAPI without a type, so that CEL sees neither."""

    other: Object


@dataclass(frozen=True, slots=True)
class Decimal(Node):
    """A JSON number."""


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A finite number, or the text of one as Katib has it: in OpenAPI without a type, and so unseen by CEL.

    ``words`` may stand in its place.
    """

    above: float | None = None
    words: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """A number of seconds, or text such as 1h30m; without a type, too."""


@dataclass(frozen=True, slots=True)
class Flag(Node):
    """True or false."""


@dataclass(frozen=True, slots=True)
class Free(Node):
    """Anything, or any object."""

    kind: Literal["", "object"] = ""


@dataclass(frozen=True, slots=True)
class Forbidden(Node):
    """A field that people write and that is refused, with the reason."""

    because: str = ""
    kind: Literal["string", "object"] = "object"


@dataclass(frozen=True, slots=True)
class Named(Node):
    """An object, or the text of its one field ``by``."""

    whole: Object
    by: str


@dataclass(frozen=True, slots=True)
class List(Node):
    """Items of one kind. ``key``: the field that no two share; ``distinct``: no two are equal."""

    item: Node
    low: int = 0
    high: int = 0
    key: str = ""
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What joins several fields: its CEL, the field that is wrong, and the words for it.

    The parser has its own check of the same rule, with the same words; the table of tests holds the two together.
    """

    field: str
    words: str
    cel: str
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Object(Node):
    """Named fields. ``values``: further ones are allowed, all of this kind. ``one_of``: exactly one of the two.

    ``decided_by`` names a field that says what the others mean: while it is wrong, nothing is told of them.
    """

    fields: Mapping[str, Node]
    values: Node | None = None
    high: int | None = None
    one_of: tuple[str, str] | None = None
    rules: tuple[Rule, ...] = ()
    decided_by: str = ""


def open_object(fields: Mapping[str, Node], *, required: bool = False, description: str = "") -> Object:
    """An object that is Kubernetes' own: some fields are known here, all others are passed on."""
    return Object(fields, values=Free(), required=required, description=description)


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """What a node holds, each with what it adds to a path."""
    if isinstance(node, Object):
        yield from ((f".{name}", child) for name, child in node.fields.items())
    elif isinstance(node, List):
        yield "[]", node.item


def editable_paths(node: Node, path: str) -> Iterator[str]:
    """The paths of all fields that may be changed; what is below them may be, too."""
    if node.editable:
        yield path
        return
    for step, child in children(node):
        yield from editable_paths(child, path + step)
