r"""Katib's metric filters: regular expressions with a group for the name and one for the value.

The default is Katib's own, written so that Python's engine needs linear time for any line. A custom pattern comes
from a spec that somebody else may have written, and Python's engine can be made to run for ever by one, so those
run on RE2: Katib's engine, with its syntax, and linear by construction. ``kubetuna.metrics.lines`` calls both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from itertools import islice
from typing import Any

DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"

# Finding all matches is quadratic in the worst case even where finding one is linear.
FILTERED_LENGTH = 4_096
MATCHES_PER_LINE = 64
PATTERN_LENGTH = 1_000

Pairs = Iterator[tuple[str, str]]

# A word is taken whole whether an assignment follows or not, so no character starts a second search.
# "/" and "." join words here, and Katib's reading is the part after the last of them.
_ASSIGNMENT = re.compile(
    r"([\w|./-]++)(?:\s*+=\s*+([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)(?=([^\s,;]{0,20})))?", re.ASCII
)
_JOINT = re.compile(r"[./]")


def default_pairs(text: str, known: Container[str]) -> Pairs:
    """Names and values as ``DEFAULT_FILTER`` finds them in a line.

    Katib reads ``val/acc=0.9`` as ``acc``; where ``val/acc`` is itself ``known``, that is the name. A value that
    is no number is given as it stands in the line rather than as Katib's empty text.
    """
    for match in _ASSIGNMENT.finditer(text):
        word, value, rest = match.groups()
        if value is None:
            continue
        name = word if word in known else _JOINT.split(word)[-1]
        yield name, (value if any(map(str.isdigit, value)) else value + (rest or ""))


def compile_filter(text: str) -> Callable[[str], Pairs]:
    """Compile a custom filter into a function from a line to the names and values in it.

    Raises:
        ValueError: too long, no RE2 expression, or fewer than two groups.
    """
    if len(text) > PATTERN_LENGTH:
        raise ValueError(f"{len(text)} characters long; at most {PATTERN_LENGTH} are allowed")
    pattern = _compile(text)
    if pattern.groups < 2:
        raise ValueError("two groups are needed: the first is the metric's name, the second its value")

    def pairs(line: str) -> Pairs:
        for match in islice(pattern.finditer(line), MATCHES_PER_LINE):
            name, value = match.group(1), match.group(2)
            if name is not None and value is not None:
                yield name.strip(), value.strip()

    return pairs


def _compile(text: str) -> Any:
    try:
        import re2  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise ValueError("custom filters need the package google-re2; install it") from error
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"no RE2 expression: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    found = error.args[0] if error.args else error
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
