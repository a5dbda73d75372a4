"""The end of objects: grace, finalizers, preconditions, and what goes with its owner or its namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.apiserver import pod_rules
from tests.apiserver.failures import conflict, wrong_uid
from tests.apiserver.objects import Change, Key, Objects, key_of
from tests.apiserver.resources import BY_KIND, NAMESPACES, PODS, Object, Resource
from tests.apiserver.writes import Writes

# The finalizer by which the garbage collector knows what waits for what was made for it.
FOREGROUND = "foregroundDeletion"


class Deletion:
    """Deletes on request; ``collect`` is the garbage collector and the namespace controller, one round of them."""

    def __init__(self, objects: Objects, writes: Writes) -> None:
        self._objects, self._writes = objects, writes
        # Whether something may have lost its owner or its namespace since it was last looked.
        self._lost = True
        # What goes after what was made for it.
        self._waiting: dict[tuple[Resource, Key], Object] = {}
        objects.listen(self._see)

    def delete(self, resource: Resource, obj: Object, options: Mapping[str, Any]) -> Object | None:
        """Delete; the object where its end is only begun, None where it is gone.

        Raises:
            Failure: 409, another object or another revision is meant.
        """
        _check_preconditions(resource, obj, options.get("preconditions") or {})
        obj = _with_policy(obj, options.get("propagationPolicy"))
        grace = pod_rules.grace(obj, options) if resource == PODS else 0
        metadata = obj["metadata"]
        if metadata.get("deletionTimestamp") and grace >= (metadata.get("deletionGracePeriodSeconds") or 0):
            before = self._objects.get(resource, key_of(obj))
            return obj if obj == before else self._writes.store(resource, obj, obj)
        if not grace and not metadata.get("finalizers") and resource != NAMESPACES:
            self._writes.remove(resource, obj)
            return None
        return self._objects.put(resource, self._marked(obj, grace))

    def _marked(self, obj: Object, grace: int) -> Object:
        metadata = obj["metadata"]
        marks = {"deletionTimestamp": self._objects.now(grace), "deletionGracePeriodSeconds": grace}
        # As on a real server, the wish to delete an object is a new generation of it.
        if "generation" in metadata and not metadata.get("deletionTimestamp"):
            marks["generation"] = metadata["generation"] + 1
        return {**obj, "metadata": {**metadata, **marks}}

    def collect(self) -> bool:
        """Delete what has lost its owners or its namespace. Whether there was anything."""
        if not self._lost:
            return False
        self._lost = False
        ending = {space["metadata"]["name"] for space in self._ending()}
        orphans = [(r, o) for r, o in self._objects.all() if key_of(o)[0] in ending or self._is_orphan(o)]
        began = [r for r, o in orphans if not o["metadata"].get("deletionTimestamp") and not self._gone(r, o)]
        waiting = [self._end_made(resource, obj) for (resource, _), obj in list(self._waiting.items())]
        return bool(began) | any(waiting) | self._end_namespaces()

    def _end_made(self, resource: Resource, obj: Object) -> bool:
        """Delete what was made for an object that waits for that, or let it go. Whether there was anything."""
        made = [(r, o, mine) for r, o in self._objects.all() for mine in _owners(o) if _is_of(mine, obj)]
        if not any(mine.get("blockOwnerDeletion") for _, _, mine in made):
            self._writes.change(resource, obj, lambda o: o["metadata"]["finalizers"].remove(FOREGROUND))
            return True
        living = [(r, o) for r, o, _ in made if not o["metadata"].get("deletionTimestamp")]
        for kind, one in living:
            # What has made something itself waits for that in its turn.
            waits = any(_is_of(mine, one) for _, other in self._objects.all() for mine in _owners(other))
            self.delete(kind, one, {"propagationPolicy": "Foreground"} if waits else {})
        return bool(living)

    def _see(self, change: Change) -> None:
        before, after = change.before, change.after
        if after is not None and _waits(after):
            self._waiting[change.resource, change.key] = after
            self._lost = True
        else:
            self._waiting.pop((change.resource, change.key), None)
        if before is None or after is None or change.resource == NAMESPACES or _owners(before) != _owners(after):
            self._lost = True

    def _gone(self, resource: Resource, obj: Object) -> bool:
        """Delete one object; whether something else had taken it away before."""
        if self._objects.get(resource, key_of(obj)) is None:
            return True
        self.delete(resource, obj, {})
        return False

    def _is_orphan(self, obj: Object) -> bool:
        owners = _owners(obj)
        return bool(owners) and not any(self._exists(owner, key_of(obj)[0]) for owner in owners)

    def _exists(self, owner: Mapping[str, Any], namespace: str) -> bool:
        resource = BY_KIND.get((owner.get("apiVersion", ""), owner.get("kind", "")))
        # Of what it does not know the garbage collector deletes nothing.
        if resource is None:
            return True
        found = self._objects.get(resource, (namespace if resource.namespaced else "", owner["name"]))
        return found is not None and found["metadata"]["uid"] == owner["uid"]

    def _ending(self) -> list[Object]:
        return [o for o in self._objects.of(NAMESPACES) if o["metadata"].get("deletionTimestamp")]

    def _end_namespaces(self) -> bool:
        ending = self._ending()
        used = {key_of(obj)[0] for _, obj in self._objects.all()} if ending else set()
        empty = [o for o in ending if o["metadata"]["name"] not in used]
        for space in empty:
            self._writes.remove(NAMESPACES, space)
        return bool(empty)


def _owners(obj: Object) -> list[Any]:
    return obj["metadata"].get("ownerReferences") or []


def _is_of(reference: Mapping[str, Any], obj: Object) -> bool:
    return bool(reference["uid"] == obj["metadata"]["uid"])


def _waits(obj: Object) -> bool:
    """Whether it is being deleted and goes after what was made for it."""
    metadata = obj["metadata"]
    return bool(metadata.get("deletionTimestamp")) and FOREGROUND in (metadata.get("finalizers") or ())


def _with_policy(obj: Object, policy: str | None) -> Object:
    """The latest wish counts; without one it stays as it is. That what was made should stay nobody wishes here."""
    if policy == "Orphan":
        raise NotImplementedError("orphans are not known here")
    held = obj["metadata"].get("finalizers") or []
    if policy is None or (policy == "Foreground") == (FOREGROUND in held):
        return obj
    others = [name for name in held if name != FOREGROUND]
    finalizers = [*others, FOREGROUND] if policy == "Foreground" else others
    return {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}}


def _check_preconditions(resource: Resource, obj: Object, wanted: Mapping[str, str]) -> None:
    metadata = obj["metadata"]
    if wanted.get("uid", metadata["uid"]) != metadata["uid"]:
        raise wrong_uid(resource, metadata["name"], wanted["uid"], metadata["uid"])
    if wanted.get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
        why = (f"Precondition failed: ResourceVersion in precondition: {wanted['resourceVersion']}, "
               f"ResourceVersion in object meta: {metadata['resourceVersion']}")  # fmt: skip
        raise conflict(resource, metadata["name"], why)
