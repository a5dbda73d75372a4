"""The one line of a log that says why a program ended: what its last traceback raised, else its last line."""

from __future__ import annotations

import re

from kubetuna.trials.masking import masked

LIMIT = 300
_TRACEBACK = "Traceback (most recent call last):"
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def last_words(text: str) -> str:
    """That line; empty where there is none. Ranks of a distributed trainer may stand before each line.

    The text is the end of a log, so its first line may have begun earlier.
    """
    lines = [line.rstrip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    found = _raised(lines) or (lines[-1].strip() if lines else "")
    return masked(found, begun=len(lines) == 1)[:LIMIT]


def _raised(lines: list[str]) -> str:
    start = max((i for i, line in enumerate(lines) if line.endswith(_TRACEBACK)), default=None)
    if start is None:
        return ""
    rank = lines[start].removesuffix(_TRACEBACK)
    after = (line.removeprefix(rank) for line in lines[start + 1 :] if line.startswith(rank))
    return next((line for line in after if not line[0].isspace()), "")
