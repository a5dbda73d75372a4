"""Shows the doctests of docstrings as code: mkdocstrings does so only below an ``Examples:`` heading."""

from __future__ import annotations

from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Puts a fence around each run of ``>>>`` lines and what they print."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring while it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with a fence around each doctest, which a blank line ends."""
    lines: list[str] = []
    indent: str | None = None
    for line in [*text.splitlines(), ""]:
        if indent is None and line.lstrip().startswith(">>> "):
            indent = line[: len(line) - len(line.lstrip())]
            lines += [f"{indent}```pycon"]
        elif indent is not None and not line.strip():
            lines += [f"{indent}```"]
            indent = None
        lines.append(line)
    return "\n".join(lines).rstrip()
