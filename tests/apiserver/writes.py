"""Creating and changing objects: system fields, optimistic locking, the status apart from the rest."""

from __future__ import annotations

import marshal
from collections.abc import Callable

from tests.apiserver import patches, pod_rules
from tests.apiserver.failures import already_exists, bad_request, conflict, forbidden, invalid, not_found, wrong_uid
from tests.apiserver.lists import Query
from tests.apiserver.objects import Objects, key_of
from tests.apiserver.resources import NAMESPACES, PODS, QUOTAS, Object, Resource, Target

# May raise a Failure to keep an object out.
Admission = Callable[[Resource, Object], None]
# May raise one to keep an object as it was before.
Review = Callable[[Resource, Object, Object], None]
_SYSTEM = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


class Writes:
    """The verbs that change something. ``admissions`` see an object before it is made, ``reviews`` a change."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._managers = patches.Managers()
        self.admissions: list[Admission] = [self._check_namespace, self._check_quota]
        self.reviews: list[Review] = []

    def find(self, target: Target) -> Object:
        """The object that a path names.

        Raises:
            Failure: 404.
        """
        found = self._objects.get(target.resource, (target.namespace or "", target.name or ""))
        if found is None:
            raise not_found(target.resource, target.name or "")
        return found

    def create(self, target: Target, body: Object, query: Query) -> Object:
        """POST to a collection."""
        resource = target.resource
        metadata = self._new_metadata(target, body)
        obj = {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        if resource == PODS:
            obj = pod_rules.complete(obj)
        elif resource.status:
            obj.pop("status", None)
        for admit in self.admissions:
            admit(resource, obj)
        if self._objects.get(resource, key_of(obj)) is not None:
            raise already_exists(resource, metadata["name"])
        return obj if _dry(query) else self._objects.put(resource, obj)

    def _new_metadata(self, target: Target, body: Object) -> Object:
        resource, given = target.resource, body.get("metadata") or {}
        name = given.get("name") or (given.get("generateName") or "") + self._objects.new_suffix()
        if not given.get("name") and not given.get("generateName"):
            raise invalid(resource, "", "metadata.name", "Required value: name or generateName is required")
        if body.get("kind", resource.kind) != resource.kind:
            raise bad_request(f"{body['kind']} cannot be handled as a {resource.kind}")
        if target.namespace is not None and given.get("namespace", target.namespace) != target.namespace:
            raise bad_request("the namespace of the object does not match the namespace of the request")
        metadata = {n: v for n, v in given.items() if n not in (*_SYSTEM, "resourceVersion")} | {"name": name}
        if target.namespace is not None:
            metadata["namespace"] = target.namespace
        metadata |= {"uid": self._objects.new_uid(), "creationTimestamp": self._objects.now()}
        return metadata | ({"generation": 1} if resource.generation else {})

    def replace(self, target: Target, body: Object, query: Query) -> Object:
        """PUT."""
        resource, before, given = target.resource, self.find(target), body.get("metadata") or {}
        uid = before["metadata"]["uid"]
        if given.get("uid", uid) != uid:
            raise wrong_uid(resource, target.name or "", given["uid"], uid)
        if not given.get("resourceVersion") and not resource.unconditional:
            field = "metadata.resourceVersion"
            raise invalid(resource, target.name or "", field, "Invalid value: 0: must be specified for an update")
        return self._update(target, before, body, query)

    def merge(self, target: Target, patch: Object, query: Query) -> Object:
        """PATCH with a merge patch."""
        before = self.find(target)
        return self._update(target, before, patches.merge(before, patch), query)

    def apply(self, target: Target, body: Object, query: Query) -> tuple[bool, Object]:
        """PATCH by server-side apply; whether it made the object."""
        resource, name = target.resource, target.name or ""
        if not query.get("fieldManager"):
            raise invalid(resource, name, "fieldManager", "Required value: is required for apply patch")
        shown = _part_of(target, body)
        live = self._objects.get(resource, (target.namespace or "", name))
        if live is not None:
            return False, self._apply_to(target, live, shown, query)
        made = self._apply_new(target, shown, query)
        if not _dry(query):
            self._managers.note(
                made["metadata"]["uid"], _manager(target, query), patches.fields_of(resource, shown)
            )
        return True, made

    def _apply_new(self, target: Target, body: Object, query: Query) -> Object:
        if target.part is not None:
            raise not_found(target.resource, target.name or "")
        metadata = body.get("metadata") or {}
        if "uid" in metadata:
            why = f"uid mismatch: the object specified uid {metadata['uid']}, and no existing object was found"
            raise conflict(target.resource, target.name or "", why)
        return self.create(target, {**body, "metadata": {**metadata, "name": target.name}}, query)

    def _apply_to(self, target: Target, live: Object, body: Object, query: Query) -> Object:
        resource, uid, manager = target.resource, live["metadata"]["uid"], _manager(target, query)
        fields = patches.fields_of(resource, body)
        taken = self._managers.contested(uid, manager, fields)
        if taken:
            have = patches.fields_of(resource, live)
            taken = {path: who for path, who in taken.items() if have.get(path) != fields[path]}
        if taken and query.get("force") != "true":
            raise patches.conflict_with(taken)
        gone = self._managers.left_out(uid, manager, fields)
        made = self._update(target, live, patches.apply(resource, live, body, gone), query)
        if not _dry(query):
            self._managers.note(uid, manager, fields, taken)
        return made

    def _update(self, target: Target, before: Object, wanted: Object, query: Query) -> Object:
        resource, name, metadata = target.resource, target.name or "", dict(wanted.get("metadata") or {})
        given, had = metadata.get("resourceVersion"), before["metadata"]["resourceVersion"]
        if given not in (None, "", had):
            raise conflict(resource, name)
        if metadata.get("uid", before["metadata"]["uid"]) != before["metadata"]["uid"]:
            raise invalid(resource, name, "metadata.uid", f'Invalid value: "{metadata["uid"]}": field is immutable')
        if metadata.get("name", name) != name:
            raise bad_request("the name of the object does not match the name on the URL")
        after = _kept(target, before, {**wanted, "metadata": metadata})
        if resource == PODS:
            pod_rules.check_update(before, after)
        for review in self.reviews:
            review(resource, before, after)
        return before if after == before or _dry(query) else self.store(resource, before, after)

    def store(self, resource: Resource, before: Object, after: Object) -> Object:
        """Put a changed object in, or take it away where only this was waited for."""
        metadata = after["metadata"]
        stored = self._objects.put(resource, after)
        if metadata.get("deletionTimestamp") and not (
            metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        ):
            return self.remove(resource, after)
        return stored

    def remove(self, resource: Resource, obj: Object) -> Object:
        """The end of an object."""
        self._managers.forget(obj["metadata"]["uid"])
        return self._objects.remove(resource, key_of(obj))

    def change(self, resource: Resource, obj: Object, edit: Callable[[Object], None]) -> Object:
        """A component of the cluster changes an object, whatever part of it."""
        # Of what is JSON this is a deep copy that takes a fraction of the time.
        after = marshal.loads(marshal.dumps(obj))
        edit(after)
        return obj if after == obj else self.store(resource, obj, after)

    def _check_namespace(self, resource: Resource, obj: Object) -> None:
        if not resource.namespaced:
            return
        space = self._objects.get(NAMESPACES, ("", obj["metadata"].get("namespace", "")))
        if space is None:
            raise not_found(NAMESPACES, obj["metadata"].get("namespace", ""))
        if space["metadata"].get("deletionTimestamp"):
            name = space["metadata"]["name"]
            why = f"unable to create new content in namespace {name} because it is being terminated"
            raise forbidden(resource, obj["metadata"]["name"], why)

    def _check_quota(self, resource: Resource, obj: Object) -> None:
        if resource != PODS:
            return
        namespace = obj["metadata"]["namespace"]
        for quota in self._objects.of(QUOTAS, namespace):
            refusal = pod_rules.quota_refusal(obj["metadata"]["name"], quota, self._objects.of(PODS, namespace))
            if refusal is not None:
                raise refusal


def _manager(target: Target, query: Query) -> str:
    """Fields that are applied through a subresource have their own list."""
    return " ".join(filter(None, (query["fieldManager"], target.part)))


def _dry(query: Query) -> bool:
    return query.get("dryRun") == "All"


def _part_of(target: Target, body: Object) -> Object:
    """What of an applied object counts at this path."""
    if target.part == "status":
        # A UID beside a status is ignored; a revision is not.
        kept = ("name", "namespace", "resourceVersion")
        named = {n: v for n, v in (body.get("metadata") or {}).items() if n in kept}
        return {"metadata": named, "status": body.get("status") or {}}
    return {n: v for n, v in body.items() if n != "status" or not target.resource.status}


def _kept(target: Target, before: Object, wanted: Object) -> Object:
    """The object after a write: what this path may not write stays, a change of the rest is a generation."""
    old = before["metadata"]
    if target.part == "status":
        rest = {n: v for n, v in before.items() if n != "status"}
        return {**rest, "status": wanted["status"]} if "status" in wanted else rest
    system = {name: old[name] for name in (*_SYSTEM, "name", "namespace", "resourceVersion") if name in old}
    metadata = {n: v for n, v in wanted["metadata"].items() if n not in _SYSTEM} | system
    after = {**wanted, "metadata": metadata}
    if target.resource.status:
        after = {n: v for n, v in after.items() if n != "status"}
        after |= {"status": before["status"]} if "status" in before else {}
    if target.resource.generation and _without_metadata(after) != _without_metadata(before):
        metadata["generation"] = old["generation"] + 1
    return after


def _without_metadata(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name != "metadata"}
