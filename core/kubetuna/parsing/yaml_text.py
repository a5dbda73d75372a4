"""YAML to Python values as ``kubectl`` reads them.

PyYAML alone follows YAML 1.1: ``1e-6`` is text to it and ``1:30`` ninety. Here plain scalars mean what the
API server's own reader makes of them, dates stay text, keys may not repeat, and a document is bounded in size,
depth and aliases before it becomes objects.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import duplicate

SIZE_LIMIT = 3 * 1024 * 1024
DEPTH_LIMIT = 100
NODE_LIMIT = 200_000

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_BASED = re.compile(r"[-+]?0(?:o[0-7_]+|x[0-9a-fA-F_]+|b[01_]+|[0-7_]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_TRUE = frozenset(("y", "Y", "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE = frozenset(("n", "N", "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"))
_HALF = re.compile("[\ud800-\udfff]")
_CHART = re.compile(r"\{\{.{1,200}?\}\}")
RENDER_FIRST = "; {{ }} is a chart's: render it first, with helm template"
_NULL = frozenset(("", "~", "null", "Null", "NULL"))

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner and parser, with our own meaning of scalars."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        self.count(1, self._mark())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        tag = self.peek_event().tag  # type: ignore[no-untyped-call]
        node = super().compose_scalar_node(anchor)
        # A scalar that is called text is text, as one in quotes is.
        node.style = node.style or ("'" if tag == f"{_TAG}str" else None)
        return node

    def count(self, more: int, mark: Any) -> None:
        """Bound what a document makes us hold: its nodes, and the keys that it merges."""
        self._nodes += more
        if self._nodes > NODE_LIMIT or self._depth > DEPTH_LIMIT:
            raise yaml.MarkedYAMLError(problem="nested too deep or too large", problem_mark=mark)

    def _mark(self) -> Any:
        return self.peek_event().start_mark  # type: ignore[no-untyped-call]


def plain(text: str) -> Any:
    """What a plain scalar means."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INT.match(text) and len(text) < 400:
        return int(text.replace("_", ""))
    if _BASED.match(text) and len(text) < 400:
        return _based(text.replace("_", ""))
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    if _SPECIAL.match(text):
        return float(text.lower().replace(".", ""))
    return text


def _based(text: str) -> Any:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    try:
        return sign * (int(digits, 0) if digits[1:2].isalpha() else int(digits, 8))
    except ValueError:
        return text


def _scalar(loader: _Loader, node: Any) -> Any:
    return _paired(node.value) if node.style else plain(node.value)


def _paired(text: str) -> str:
    """A text of which JSON may have written a character as two escapes; one of them alone stands for nothing."""
    if not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _typed(kind: type, word: str) -> Any:
    """The constructor of a scalar that is called a number or a truth."""

    def construct(loader: _Loader, node: Any) -> Any:
        value = plain(node.value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not kind:
            raise yaml.MarkedYAMLError(problem=f"{node.value!r} is no {word}", problem_mark=node.start_mark)
        return value

    return construct


def _merged(loader: _Loader, node: Any) -> dict[str, Any]:
    """What ``<<`` brings in: a mapping, or several, of which the first that has a key wins."""
    value = loader.construct_object(node, deep=True)
    found: dict[str, Any] = {}
    for one in reversed(value if isinstance(value, list) else [value]):
        if not isinstance(one, dict):
            raise yaml.MarkedYAMLError(problem="'<<' takes mappings", problem_mark=node.start_mark)
        loader.count(len(one), node.start_mark)
        found.update(one)
    return found


def _mapping(loader: _Loader, node: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if key_node.value == "<<" and key_node.style is None:
            merged = _merged(loader, value_node)
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key_node.start_mark)
        name = key if isinstance(key, str) else key_node.value
        if name in found:
            raise yaml.MarkedYAMLError(problem=duplicate(name), problem_mark=key_node.start_mark)
        found[name] = loader.construct_object(value_node, deep=True)
    return {**merged, **found}


def _sequence(loader: _Loader, node: Any) -> list[Any]:
    return [loader.construct_object(child, deep=True) for child in node.value]


def _refuse(loader: _Loader, node: Any) -> Any:
    raise yaml.MarkedYAMLError(problem=f"tag {node.tag} is not allowed", problem_mark=node.start_mark)


_Loader.yaml_constructors = {
    f"{_TAG}str": _scalar,
    f"{_TAG}map": _mapping,
    f"{_TAG}seq": _sequence,
    f"{_TAG}int": _typed(int, "whole number"),
    f"{_TAG}float": _typed(float, "number"),
    f"{_TAG}bool": _typed(bool, "truth"),
    None: _refuse,
}


def load_documents(text: str) -> list[Any]:
    """Every document of a text, empty ones left out.

    Raises:
        SpecError: it is not YAML, or too large; the message gives the line.
    """
    if len(text) > SIZE_LIMIT:
        raise SpecError((Problem("file", f"is larger than {SIZE_LIMIT} characters"),))
    if "\t" in text and _is_json(text):
        # Blanks to JSON, between tokens only; an error to YAML.
        text = text.replace("\t", " ")
    try:
        found = [document for document in yaml.load_all(text, _Loader) if document is not None]
        for document in found:
            _check_size(document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        hint = RENDER_FIRST if _CHART.search(text) else ""
        raise SpecError(
            (Problem("file", f"is not YAML: {where}{error.problem or error.context}{hint}"),)
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise SpecError((Problem("file", f"is not YAML: {reason}"),)) from error
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _check_size(document: Any) -> None:
    """Aliases share nodes in memory, so what they stand for is counted before anyone walks it."""
    seen = 0
    stack = [(document, 0)]
    while stack:
        value, depth = stack.pop()
        seen += 1
        if seen > NODE_LIMIT or depth > DEPTH_LIMIT:
            raise ValueError("its aliases expand to too much")
        if isinstance(value, dict):
            stack.extend((child, depth + 1) for child in value.values())
        elif isinstance(value, list):
            stack.extend((child, depth + 1) for child in value)
