"""Files that are written whole or not at all, and JSON whose errors say what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetuna.errors import ResultsError


def write_whole(path: Path, text: str) -> Path:
    """Write a text so that a reader finds all of it or what was there before; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    return beside.replace(path)


def write_json(path: Path, value: object) -> Path:
    """Write indented JSON; what JSON has no word for becomes null or text."""
    return write_whole(path, json.dumps(strict(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def strict(value: Any) -> Any:
    """The same as plain JSON values; what JSON has no word for, NaN above all, becomes null or text."""
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ResultsError: there is no such file, or it holds none.
    """
    found = read_value(path)
    if not isinstance(found, dict):
        raise ResultsError(f"{path}: holds no JSON object")
    return found


def read_value(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        ResultsError: there is no such file, or it is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: is damaged: {str(error)[:200]}") from error
