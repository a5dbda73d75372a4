"""Katib's metric filters: regular expressions with a name and a value group.

The default is Katib's own, in ASCII as its engine reads it. A pattern comes from a spec that somebody else may
have written, so one that could backtrack without end is refused: Python's engine, unlike RE2, has no bound.
"""

from __future__ import annotations

import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parse  # type: ignore[import-not-found]
from collections.abc import Iterator
from typing import Any

DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"

# Lines longer than this are not given to a custom filter, which bounds quadratic patterns too.
FILTERED_LENGTH = 4096

_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)


def compile_filter(text: str) -> re.Pattern[str]:
    """Compile a filter.

    Raises:
        ValueError: no regular expression, fewer than two groups, or one that may never return.
    """
    try:
        pattern = re.compile(text, re.ASCII)
        tree = sre_parse.parse(text, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    if pattern.groups < 2:
        raise ValueError("two groups are needed: the first is the metric's name, the second its value")
    if _nested(tree, inside=False):
        raise ValueError("a repeated group repeats again inside, which may never return; unnest it")
    return pattern


def _nested(tree: Any, inside: bool) -> bool:
    for op, argument in tree:
        if op in (sre.GROUPREF, sre.GROUPREF_EXISTS, sre.ASSERT, sre.ASSERT_NOT):
            return True
        if op in _REPEATS:
            _low, high, body = argument
            unbounded = high is sre.MAXREPEAT or high > 1000
            if unbounded and inside:
                return True
            if _nested(body, inside or unbounded):
                return True
        elif any(_nested(child, inside) for child in _children(op, argument)):
            return True
    return False


def _children(op: Any, argument: Any) -> Iterator[Any]:
    if op is sre.SUBPATTERN:
        yield argument[-1]
    elif op is sre.BRANCH:
        yield from argument[1]
