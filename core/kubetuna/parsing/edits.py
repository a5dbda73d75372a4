"""What may be changed on a living or finished experiment, and what else differs between two specs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

EDITABLE = frozenset(
    {
        "spec.maxTrialCount",
        "spec.maxFailedTrialCount",
        "spec.parallelTrialCount",
        "spec.preset",
        "spec.budget",
        "spec.retryPolicy",
        "spec.stopWhen",
        "spec.suspend",
        "spec.suspendPolicy",
        "spec.shutdown",
        "spec.objective.goal",
    }
)
# Belongs to the API server or to people, and changes nothing of what an experiment does.
_IGNORED = frozenset({"metadata", "status", "apiVersion"})


def immutable_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of fields that differ and cannot be edited."""
    before, after = ({k: v for k, v in side.items() if k not in _IGNORED} for side in (old, new))
    return tuple(path for path in _differences(before, after, "") if not _editable(path))


def _editable(path: str) -> bool:
    if path.startswith("spec.objectives[") and path.endswith("].goal"):
        return True
    return any(path == known or path.startswith(f"{known}.") for known in EDITABLE)


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
