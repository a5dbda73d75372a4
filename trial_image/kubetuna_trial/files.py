"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write beside, then rename."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    beside.replace(path)
