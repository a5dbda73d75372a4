"""The one line of a log that says why a program ended: what its last traceback raised, else its last line."""

from __future__ import annotations

import re

LIMIT = 300
_TRACEBACK = "Traceback (most recent call last):"
# What stands before a URL's host: a user, mostly with a password. Bounded, since a line may hold many beginnings.
_LOGIN = re.compile(r"(?<=://)\S{1,200}@")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def last_words(text: str) -> str:
    """That line; empty where there is none. Ranks of a distributed trainer may stand before each line."""
    lines = [line.rstrip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    return without_logins(_raised(lines) or (lines[-1].strip() if lines else ""))[:LIMIT]


def without_logins(text: str) -> str:
    """A text that more people read than the log it comes from, without the passwords of its URLs."""
    return _LOGIN.sub("***@", text)


def _raised(lines: list[str]) -> str:
    start = max((i for i, line in enumerate(lines) if line.endswith(_TRACEBACK)), default=None)
    if start is None:
        return ""
    rank = lines[start].removesuffix(_TRACEBACK)
    after = (line.removeprefix(rank) for line in lines[start + 1 :] if line.startswith(rank))
    return next((line for line in after if not line[0].isspace()), "")
