"""What may be changed on a living or finished experiment, and what else differs between two specs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.parsing.shape import EDITABLE

# Belongs to the API server or to people, and changes nothing of what an experiment does.
_IGNORED = frozenset({"metadata", "status", "apiVersion"})


def immutable_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of fields that differ and cannot be edited."""
    before, after = ({k: v for k, v in side.items() if k not in _IGNORED} for side in (old, new))
    return tuple(path for path in _differences(before, after, "") if not _editable(path))


def editable_fields() -> str:
    """The fields that may be edited, for people."""
    return ", ".join(path.removeprefix("spec.") for path in EDITABLE)


def _editable(path: str) -> bool:
    plain = re.sub(r"\[\d+\]", "[]", path)
    return any(plain == known or plain.startswith(f"{known}.") for known in EDITABLE)


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _differences(left, right, f"{path}[{index}]")
    elif isinstance(old, Mapping) and new is None:
        yield from _differences(old, {}, path)
    elif isinstance(new, Mapping) and old is None:
        yield from _differences({}, new, path)
    elif type(old) is not type(new) or old != new:
        yield path
