"""JSON cut down to so many bytes: what grows with parameters, objectives and names must still fit its store.

An API server refuses an object beyond its limit, and then shows nothing at all. What is left out is said.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any

# Where the document says what it lacks.
OMITTED = "omitted"


def size(document: object) -> int:
    """Bytes of a document as JSON."""
    return len(json.dumps(document, ensure_ascii=False).encode(errors="replace"))


def fitted(document: Mapping[str, Any], limit: int, divisible: Container[str]) -> Mapping[str, Any]:
    """The document, where it is too large with the largest of its ``divisible`` fields halved until it fits.

    A field is one of that name at any depth: a list, a mapping or a text, of which the first entries are kept.
    """
    if size(document) <= limit:
        return document
    copy: dict[str, Any] = json.loads(json.dumps(document))
    left_out: list[str] = []
    while size({**copy, OMITTED: left_out}) > limit:
        found = max(_fields(copy, divisible, ""), key=_weight, default=None)
        if found is None:
            break
        parent, name, path = found
        parent[name] = _half(parent[name])
        left_out = _with(left_out, path)
    return {**copy, OMITTED: left_out}


def _with(paths: list[str], path: str) -> list[str]:
    """These paths and one more; one inside another says nothing new."""
    if any(path == other or path.startswith(f"{other}.") for other in paths):
        return paths
    return [*(other for other in paths if not other.startswith(f"{path}.")), path]


def _weight(field: tuple[dict[str, Any], str, str]) -> float:
    """How soon a field is cut: the largest first, but of a single entry rather what is inside it."""
    value = field[0][field[1]]
    return size(value) / (1 if len(value) > 1 else 100)


def _half(value: Any) -> Any:
    kept = len(value) // 2
    return dict(list(value.items())[:kept]) if isinstance(value, dict) else value[:kept]


def _fields(node: Any, divisible: Container[str], path: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every field that may be cut and has anything left: its parent, its name, its path."""
    if isinstance(node, list):
        for item in node:
            yield from _fields(item, divisible, path)
    elif isinstance(node, dict):
        for name, value in node.items():
            below = f"{path}.{name}" if path else name
            if name in divisible and isinstance(value, list | dict | str) and value:
                yield node, name, below
            yield from _fields(value, divisible, below)
