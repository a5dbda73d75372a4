"""Conditions on an object, as Katib has them: paths in the syntax of GJSON, whose answer is what they find.

As in Katib a condition holds once its path leads to an object, or to a list that is not empty; ``[@this]`` makes a
list of one object, so that a query can be put to it. What GJSON knows beyond paths, queries and that (modifiers,
multipaths, literals) is refused with its position: read in another way it would end a trial wrongly, or never.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Any

from kubetuna.errors import KubetunaError

MISSING: Any = object()
NESTED_LIMIT = 8
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne,
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_THIS = "[@this]"
_OPERATORS = ("==", "!=", "<=", ">=", "!%", "=", "<", ">", "%")
_REFUSED = {"@": "modifiers", "{": "multipaths", "[": "multipaths", "!": "literals"}


class GjsonError(KubetunaError):
    """The text is no condition that is known here; says where."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of each item of a list, or of its field at ``path``; without ``op`` that it is there."""

    path: tuple[Step, ...]
    op: str
    word: str
    quoted: bool

    def holds(self, item: Any) -> bool:
        """Whether an item is looked for."""
        found = _find(item, self.path) if self.path else item
        if found is MISSING or not self.op:
            return found is not MISSING
        if isinstance(found, str):
            return self._compares(found, self.word)
        if isinstance(found, bool):
            return self.op in ("==", "=", "!=") and self._compares(str(found).lower(), self.word)
        if isinstance(found, int | float) and not self.quoted and "%" not in self.op:
            return self._is_number() and _COMPARE[self.op](float(found), float(self.word))
        return False

    def _compares(self, found: str, word: str) -> bool:
        if "%" in self.op:
            return (re.match(translate(word), found) is not None) == (self.op == "%")
        return _COMPARE[self.op](found, word)

    def _is_number(self) -> bool:
        return re.fullmatch(r"[-+]?\d{1,15}(\.\d{1,15})?([eE][-+]?\d{1,2})?", self.word) is not None


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a path. ``key``: a field or an index; ``each`` item; with a ``query`` those, or the ``first``.

    ``piped``: what came before is one value, even where it was found item by item. ``wraps``: a list of it alone.
    """

    key: str = ""
    each: bool = False
    wraps: bool = False
    query: Query | None = None
    first: bool = False
    piped: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, and the text that it was written as."""

    text: str
    path: tuple[Step, ...]

    def found(self, obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What makes it hold: the object, or the list's first item; an empty one where that is no object."""
        found = _find(obj, self.path)
        if isinstance(found, list) and found:
            found = found[0]
            return found if isinstance(found, Mapping) else {}
        return found if isinstance(found, Mapping) else None

    @property
    def field(self) -> str:
        """The field that it reads: its path up to the first list."""
        keys = []
        for step in self.path:
            if step.each or step.wraps:
                break
            keys.append(step.key)
        return ".".join(keys)

    @property
    def words(self) -> tuple[str, ...]:
        """The values of ``type`` that it asks for."""
        queries = (step.query for step in self.path if step.query is not None)
        return tuple(q.word for q in queries if q.op in ("=", "==") and [s.key for s in q.path] == ["type"])


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        GjsonError: it is none, or has what is not known here.
    """
    if not text.strip():
        raise GjsonError("is empty")
    return Condition(text, tuple(_steps(text.strip(), 0, 0)))


def _steps(text: str, offset: int, depth: int) -> Iterator[Step]:
    at, piped = 0, False
    while True:
        if at >= len(text) or text[at] in ".|":
            raise GjsonError(f"a name or # is missing at character {offset + at + 1}")
        if text[at] in _REFUSED and not text.startswith(_THIS, at):
            raise GjsonError(
                f"{_REFUSED[text[at]]} ({text[at]!r} at character {offset + at + 1}) are not known here"
            )
        step, at = _hash(text, at, offset, depth) if text[at] == "#" else _key(text, at)
        yield replace(step, piped=piped)
        if at == len(text):
            return
        if text[at] not in ".|":
            raise GjsonError(f"{text[at]!r} at character {offset + at + 1}: must be . or |")
        piped, at = text[at] == "|", at + 1


def _key(text: str, at: int) -> tuple[Step, int]:
    if text.startswith(_THIS, at):
        return Step(wraps=True), at + len(_THIS)
    found = re.compile(r"(\\.|[^.|\\])*").match(text, at)
    assert found is not None
    return Step(key=re.sub(r"\\(.)", r"\1", found.group())), found.end()


def _hash(text: str, at: int, offset: int, depth: int) -> tuple[Step, int]:
    if text[at + 1 : at + 2] != "(":
        return Step(each=True), at + 1
    if depth == NESTED_LIMIT:
        raise GjsonError(f"queries are nested more than {NESTED_LIMIT} deep")
    end = _closing(text, at + 1, offset)
    query = _query(text[at + 2 : end], offset + at + 2, depth)
    several = text[end + 1 : end + 2] == "#"
    return Step(each=True, query=query, first=not several), end + 1 + several


def _outside(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Every position that is in no quotes, with how many parentheses are open there."""
    depth, quoted = 0, False
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == '"':
            quoted = not quoted
        elif not quoted:
            depth += (text[at] == "(") - (text[at] == ")")
            yield at, depth
        at += 1


def _closing(text: str, at: int, offset: int) -> int:
    end = next((i for i, depth in _outside(text, at) if depth == 0), None)
    if end is None:
        raise GjsonError(f"the parenthesis at character {offset + at + 1} is not closed")
    return end


def _query(text: str, offset: int, depth: int) -> Query:
    ops = ((i, op) for i, level in _outside(text, 0) if level == 0 for op in _OPERATORS if text.startswith(op, i))
    at, op = next(ops, (len(text), ""))
    left, right = text[:at].strip(), text[at + len(op) :].strip()
    path = tuple(_steps(left, offset, depth + 1)) if left else ()
    if right.startswith("~") or (not left and not op):
        raise GjsonError(f"the query at character {offset + 1} is not known here")
    quoted = len(right) > 1 and right[0] == right[-1] == '"'
    if right.startswith('"') and not quoted:
        raise GjsonError(f"the quotes at character {offset + at + len(op) + 1} are not closed")
    return Query(path, op, re.sub(r"\\(.)", r"\1", right[1:-1]) if quoted else right, quoted)


def _find(value: Any, path: tuple[Step, ...]) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if step.wraps:
        return _find([value], rest)
    if not step.each:
        found = _child(value, step.key)
        return MISSING if found is MISSING else _find(found, rest)
    if not isinstance(value, list):
        return MISSING
    items = [item for item in value if step.query is None or step.query.holds(item)]
    if step.first:
        return _find(items[0], rest) if items else MISSING
    if step.query is None and not rest:
        return len(items)
    here = next((i for i, later in enumerate(rest) if later.piped), len(rest))
    mapped = (_find(item, rest[:here]) for item in items)
    return _find([item for item in mapped if item is not MISSING], rest[here:])


def _child(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return value[int(key)] if key.isascii() and key.isdigit() and int(key[:9]) < len(value) else MISSING
    if not isinstance(value, Mapping):
        return MISSING
    if "*" in key or "?" in key:
        named = re.compile(translate(key))
        return next((value[name] for name in value if named.match(str(name))), MISSING)
    return value.get(key, MISSING)
