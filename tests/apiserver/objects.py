"""The objects, their revisions and the history from which watches and pages are served: what etcd is to Kubernetes.

An object that is stored is never changed in place; every write puts a new one in.
"""

from __future__ import annotations

import json
import random
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kubetuna.trials.attempts import Clock
from tests.apiserver.failures import expired
from tests.apiserver.resources import Object, Resource

Key = tuple[str, str]
# How many objects' texts are kept.
TEXTS = 500


@dataclass(frozen=True, slots=True)
class Change:
    """One write: what there was, what there is. ``last`` is how a deleted object stood when it went."""

    revision: int
    resource: Resource
    key: Key
    before: Object | None
    after: Object | None
    last: Object


class Objects:
    """All objects by resource and (namespace, name)."""

    def __init__(self, clock: Clock, draw: random.Random) -> None:
        self._clock, self._draw = clock, draw
        self._all: dict[Resource, dict[Key, Object]] = {}
        # What ``of`` said since anything changed.
        self._listed: dict[tuple[Resource, str | None], list[Object]] = {}
        self._history: list[Change] = []
        self._listeners: list[Callable[[Change], None]] = []
        self.revision = self.compacted = 1

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Tell of every change from now on."""
        self._listeners.append(listener)

    def get(self, resource: Resource, key: Key) -> Object | None:
        """One object."""
        return self._all.get(resource, {}).get(key)

    def of(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        """All of a kind, in a namespace or everywhere, in the order of their keys."""
        # Whoever changes something meanwhile leaves this dict to what is said of the time before.
        known, of = self._listed, (resource, namespace)
        if of not in known:
            found = self._all.get(resource, {})
            known[of] = [found[key] for key in sorted(found) if namespace in (None, key[0])]
        return known[of]

    def all(self) -> Iterator[tuple[Resource, Object]]:
        """Everything."""
        for resource in list(self._all):
            for obj in self.of(resource):
                yield resource, obj

    def put(self, resource: Resource, obj: Object) -> Object:
        """Store an object under a new revision."""
        stored = self._stamped(obj)
        key = key_of(stored)
        before = self.get(resource, key)
        self._all.setdefault(resource, {})[key] = stored
        self._record(Change(self.revision, resource, key, before, stored, stored))
        return stored

    def remove(self, resource: Resource, key: Key) -> Object:
        """Take an object away; how it stood, under the revision of its end."""
        before = self._all[resource].pop(key)
        last = self._stamped(before)
        self._record(Change(self.revision, resource, key, before, None, last))
        return last

    def _stamped(self, obj: Object) -> Object:
        self.revision += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}

    def _record(self, change: Change) -> None:
        self._listed = {}
        self._history.append(change)
        for listener in self._listeners:
            listener(change)

    def since(self, revision: int) -> list[Change]:
        """The changes after a revision.

        Raises:
            Failure: 410, it is older than what is kept.
        """
        if revision < self.compacted:
            raise expired(f"too old resource version: {revision} ({self.compacted})")
        return self._history[bisect_right(self._history, revision, key=lambda change: change.revision) :]

    def at(self, revision: int, resource: Resource, namespace: str | None) -> list[Object]:
        """All of a kind as they were at a revision, which must not be older than what is kept."""
        found = {key_of(obj): obj for obj in self.of(resource, namespace)}
        for change in reversed(self.since(revision)):
            if change.resource == resource and namespace in (None, change.key[0]):
                found.pop(change.key, None)
                if change.before is not None:
                    found[change.key] = change.before
        return [found[key] for key in sorted(found)]

    def compact(self) -> None:
        """Forget all history, as etcd does every five minutes with what is older than that."""
        self._history.clear()
        self.compacted = self.revision

    def new_uid(self) -> str:
        """A UID that no object had before."""
        return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))

    def new_suffix(self) -> str:
        """What ``generateName`` appends."""
        return "".join(self._draw.choices("bcdfghjklmnpqrstvwxz2456789", k=5))

    def now(self, later: float = 0.0) -> str:
        """The time, to the second as Kubernetes writes it."""
        return timestamp(self._clock.now() + later)


class _Texts:
    """Objects as they are sent, by identity: an answer, and every watch, tells of the same one."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Object, bytes]] = {}

    def of(self, obj: Object) -> bytes:
        """One as JSON."""
        known = self._known.get(id(obj))
        if known is None:
            if len(self._known) >= TEXTS:
                self._known.clear()
            # It is kept with its text, so that no other object gets its identity.
            known = self._known[id(obj)] = obj, json.dumps(obj).encode()
        return known[1]


text_of = _Texts().of


def key_of(obj: Object) -> Key:
    """Namespace and name."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def timestamp(seconds: float) -> str:
    """RFC 3339, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
