"""What may be changed on a living or finished experiment, and what else differs between two specs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.quantities import PAPER, exact, number
from kubetuna.parsing.shape import EDITABLE

# Belongs to the API server or to people, and changes nothing of what an experiment does.
_IGNORED = frozenset({"metadata", "status", "apiVersion"})

# Samplers that keep something of the space which trials of another one would break.
_COUNTS = "goes through the points of its space by their number"
_BREEDS = "breeds each generation from the last one, whose points must lie in its space"
_BOUND_TO_ITS_SPACE = {
    "grid": _COUNTS,
    "bruteforce": _COUNTS,
    "cmaes": "keeps a distribution over the space that it began with",
    "nsgaii": _BREEDS,
    "nsgaiii": _BREEDS,
}


def immutable_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of fields that differ and cannot be edited."""
    before, after = ({k: v for k, v in side.items() if k not in _IGNORED} for side in (old, new))
    return tuple(path for path in _differences(before, after, "") if not _editable(path))


def space_edited(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """Whether the search space of two documents differs; that there was none before is no edit."""
    return old is not None and any(True for _ in _spaces(old, new))


def space_faults(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Why the stored trials would lose their meaning in the new space, a text for each parameter; mostly none."""
    sampler = str((new["spec"].get("algorithm") or {}).get("algorithmName"))
    bound = f"the sampler {sampler} {_BOUND_TO_ITS_SPACE[sampler]}" if sampler in _BOUND_TO_ITS_SPACE else ""
    found = ((path, bound or _off_the_steps(before, after)) for path, before, after in _spaces(old, new))
    return tuple(f"{path}: {why}" for path, why in found if why)


def _spaces(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The path of each feasible space that differs, as it was and as it is. The names are the same."""
    sides = (side["spec"]["parameters"] for side in (old, new))
    for index, (before, after) in enumerate(zip(*sides, strict=False)):
        was, now = before["feasibleSpace"], after["feasibleSpace"]
        if was != now:
            yield f"spec.parameters[{index}].feasibleSpace", was, now


def _off_the_steps(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    low, moved, step = (number(side.get(name)) for side, name in ((before, "min"), (after, "min"), (after, "step")))
    if low is None or moved is None or step is None or not PAPER.remainder(exact(moved) - exact(low), exact(step)):
        return ""
    return f"min must stay on the steps of {step} from {low}, else no stored value would be one of the new ones"


def editable_fields() -> str:
    """The fields that may be edited, for people."""
    return ", ".join(path.removeprefix("spec.") for path in EDITABLE)


def _editable(path: str) -> bool:
    plain = re.sub(r"\[\d+\]", "[]", path)
    return any(plain == known or plain.startswith((f"{known}.", f"{known}[")) for known in EDITABLE)


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
