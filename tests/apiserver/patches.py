"""Merge patch and server-side apply.

Of server-side apply it knows what the operator relies on: a manager's fields, taking them over by force, and that
a field goes when the only manager who had applied it leaves it out. Lists are one value, but for those that their
kind declares to be maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tests.apiserver.failures import Failure
from tests.apiserver.resources import Object, Path, Resource

# Fields that say which object is meant; nobody owns them.
_IDENTITY = {("apiVersion",), ("kind",)} | {
    ("metadata", n) for n in ("name", "namespace", "uid", "resourceVersion")
}


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


class Managers:
    """Which manager applied which fields of which object, by UID."""

    def __init__(self) -> None:
        self._owned: dict[str, dict[str, frozenset[Path]]] = {}

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._owned.pop(uid, None)

    def note(self, uid: str, manager: str, fields: Iterable[Path], taken: Iterable[Path] = ()) -> None:
        """A manager has applied these fields; those that it set to another value it has taken from the others."""
        owned = self._owned.setdefault(uid, {})
        for other in owned:
            owned[other] = owned[other].difference(taken)
        owned[manager] = frozenset(fields)

    def left_out(self, uid: str, manager: str, fields: Iterable[Path]) -> frozenset[Path]:
        """What the manager alone had applied before and leaves out now."""
        owned = self._owned.get(uid, {})
        others = [had for who, had in owned.items() if who != manager]
        return owned.get(manager, frozenset()).difference(fields, *others)

    def contested(self, uid: str, manager: str, fields: Iterable[Path]) -> dict[Path, str]:
        """Which of these fields other managers have applied."""
        owned = self._owned.get(uid, {})
        return {path: who for who, had in owned.items() if who != manager for path in fields if path in had}


def fields_of(resource: Resource, body: Object) -> dict[Path, Any]:
    """The fields that an applied object sets; an item of a list that is a map counts by its key."""
    return {path: value for path, value in _leaves(resource, body, ()) if path not in _IDENTITY}


def _leaves(resource: Resource, value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, list) and (key := resource.key_of(path)) is not None:
        for item in value:
            yield from _leaves(resource, item, (*path, f"{key}={item[key]}"))
    elif isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(resource, part, (*path, name))
    else:
        yield path, value


def apply(resource: Resource, live: Object, body: Object, gone: frozenset[Path]) -> Object:
    """The object with what is applied, and without what was left out."""
    kept: Object = live
    # An item of a list goes with its last field, which is its key.
    for path in sorted(gone, key=_is_key):
        kept = _without(kept, path)
    merged: Object = _merged(resource, kept, body, ())
    return merged


def _merged(resource: Resource, live: Any, body: Any, path: Path) -> Any:
    if isinstance(body, list) and (key := resource.key_of(path)) is not None:
        items = {item[key]: item for item in live or []}
        for item in body:
            items[item[key]] = _merged(resource, items.get(item[key]), item, (*path, f"{key}={item[key]}"))
        return list(items.values())
    if not isinstance(body, dict):
        return body
    merged = dict(live) if isinstance(live, dict) else {}
    for name, value in body.items():
        merged[name] = _merged(resource, merged.get(name), value, (*path, name))
    return merged


def _is_key(path: Path) -> bool:
    return len(path) > 1 and path[-2].startswith(f"{path[-1]}=")


def _without(value: Any, path: Path) -> Any:
    """Without one field; what holds nothing then goes too."""
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        name, _, wanted = head.partition("=")
        return [i for i in (_without(i, rest) if i[name] == wanted else i for i in value) if i]
    if not isinstance(value, dict) or head not in value:
        return value
    part = _without(value[head], rest) if rest else None
    kept = {name: v for name, v in value.items() if name != head}
    return {**kept, head: part} if part else kept


def conflict_with(owners: dict[Path, str]) -> Failure:
    """The refusal to change without force what other managers applied."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{who}"', "field": "." + ".".join(path)}
        for path, who in owners.items()
    ]
    told = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return Failure(409, "Conflict", f"Apply failed with {len(causes)} conflicts: {told}", causes=causes)
