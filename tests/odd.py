"""Documents with anything dropped, empty, of a wrong type or absurdly large."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

ABSURD: list[Any] = [
    None, True, 7, -1, 10**30, 1e300, float("nan"), [], [None], ["x"], {}, {"x": {}},
    "", "soon", "nan", "1e999", "9" * 5_000, "²", "x" * 100_000,
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-24T10:00:00",
]  # fmt: skip
DROPPED = object()


@st.composite
def mutated(draw: st.DrawFn, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """One of the objects with up to three of its fields, on any level, made odd."""
    found = copy.deepcopy(draw(st.sampled_from(objects)))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(places(found)) or [(found, "metadata")]))
        value = draw(st.sampled_from([DROPPED, *ABSURD]))
        if value is not DROPPED:
            holder[key] = copy.deepcopy(value)
        elif isinstance(holder, list):
            del holder[key]
        else:
            holder.pop(key, None)
    return found


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """What holds a value, and where, for every value on every level."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])
