"""The mappings that a line holds, behind whatever stands before them: JSON, or a Python dict as ``print`` shows it.

Launchers, loggers and log drivers put a rank, a time or a level before what a trainer prints. A dict is read token
by token into JSON, so nothing is ever evaluated: strings, numbers, True, False, None, nan, inf and brackets, and
one number as NumPy, PyTorch, JAX and TensorFlow show it (``tensor(0.5)``); anything else (a call, a name) makes it
no dict. An object that does not parse hides what is nested in it, as a pair (``('segm', {…})``) does; settings are
no report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.metrics.numbers import SCALAR
from kubetuna.metrics.settings import is_settings

OBJECTS_PER_LINE = 64
FAILURES_PER_LINE = 4
DICT_LENGTH = 16 * 1024
DICT_DEPTH = 16

_BEGIN = re.compile(r"\{\s*+[\"']")
# What stands before the value of a pair, as in ``OrderedDict([('segm', {…})])``.
_PAIR = re.compile(r"""\(\s{0,3}(?:'[^']*+'|"[^"]*+"),\s{0,3}\Z""")
_PAIR_LENGTH = 100
_BRACE = re.compile(r"[{}]")
_TOKEN = re.compile(
    r"""\s*+(?:
        [bBuU]?(?P<string>'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")
        |(?P<number>[+-]?(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?(?![\w.]))
        |(?:np\.)?(?P<word>True|False|None|[+-]?nan|[+-]?inf)(?:\b|(?<=e)_)
        |"""
    + SCALAR
    + r"""['"]?(?P<scalar>[+-]?(?:[\d.]{1,40}(?:e[+-]?\d{1,4})?|nan|inf))['"]?(?:,\s[^(){}]{0,200})?[)>]
        |(?P<mark>[][{}(),:])
    )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}
_WORDS = {
    "True": "true",
    "False": "false",
    "None": "null",
    "inf": "Infinity",
    "+inf": "Infinity",
    "-inf": "-Infinity",
}
_OPENING = {"{": "{", "[": "[", "(": "["}
_CLOSING = {"}": "}", "]": "]", ")": "]"}
_decode = json.JSONDecoder().raw_decode


def objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The mappings on a line, in order, outermost ones only. Never raises, in linear time."""
    at = failures = 0
    for _ in range(OBJECTS_PER_LINE):
        begin = _BEGIN.search(text, at)
        if begin is None or failures == FAILURES_PER_LINE:
            return
        found, at = _object(text, begin.start())
        if found is None:
            failures += 1
        elif not (is_settings(text, begin.start()) or _is_paired(text, begin.start())):
            yield found


def pair_begun(text: str) -> str:
    """The first of a pair with which a text ends; empty where it does not."""
    found = _PAIR.search(text, max(0, len(text) - _PAIR_LENGTH))
    return found.group() if found else ""


def _is_paired(text: str, start: int) -> bool:
    return _PAIR.search(text, max(0, start - _PAIR_LENGTH), start) is not None


def _object(text: str, start: int) -> tuple[Mapping[str, Any] | None, int]:
    """The mapping that begins here, or None, and where the next one may begin."""
    try:
        return _decode(text, start)
    except (ValueError, RecursionError):
        # No JSON; it may be a dict as Python prints it.
        pass
    try:
        translated, end = _as_json(text, start)
        return json.loads(translated), end
    except (ValueError, RecursionError):
        return None, _closed(text, start)


def _closed(text: str, start: int) -> int:
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace.group() == "{" else -1
        if not depth:
            return brace.end()
    return len(text)


def _as_json(text: str, start: int) -> tuple[str, int]:
    """A Python dict as JSON, and where it ends.

    Raises:
        ValueError: it is none, or larger or deeper than anybody prints one.
    """
    parts: list[str] = []
    depth, at, limit = 0, start, start + DICT_LENGTH
    while token := _TOKEN.match(text, at, limit):
        at, kind, shown = token.end(), token.lastgroup, token.group(token.lastgroup or 0)
        if kind != "mark":
            parts.append(_scalar(kind or "", shown))
            continue
        depth += (shown in _OPENING) - (shown in _CLOSING)
        _join(parts, shown)
        if not depth:
            return " ".join(parts), at
        if depth > DICT_DEPTH:
            break
    raise ValueError("no dict")


def _scalar(kind: str, shown: str) -> str:
    if kind == "string":
        return json.dumps(_ESCAPE.sub(_unescaped, shown[1:-1]))
    if kind == "scalar" and shown.lstrip("+-").isalpha():
        kind = "word"
    if kind in {"number", "scalar"}:
        return json.dumps(int(shown) if shown.lstrip("+-").replace("_", "").isdigit() else float(shown))
    return _WORDS.get(shown, "NaN")


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1) or match.group(2) or match.group(3)
    return chr(int(code, 16)) if code else _CONTROL.get(match.group(4), match.group(4))


def _join(parts: list[str], mark: str) -> None:
    """Add a bracket, comma or colon: a comma before a closing bracket goes, and a key becomes a text."""
    if mark in _CLOSING and parts[-1:] == [","]:
        parts.pop()
    if mark == ":" and parts and not parts[-1].startswith('"'):
        parts[-1] = json.dumps(parts[-1])
    parts.append(_OPENING.get(mark) or _CLOSING.get(mark) or mark)
