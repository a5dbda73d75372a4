"""Lists: selectors, and pages that all show the moment of the first one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

from tests.apiserver.failures import bad_request, expired
from tests.apiserver.objects import Objects, key_of
from tests.apiserver.resources import Object, Target

Query = Mapping[str, str]
_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")


def selects(query: Query, obj: Object) -> bool:
    """Whether an object is among those that a query asks for."""
    return _labels_match(query.get("labelSelector", ""), obj) and _fields_match(query.get("fieldSelector", ""), obj)


def _labels_match(selector: str, obj: Object) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return all(_requirement(part.strip(), labels) for part in re.split(r",(?![^(]*\))", selector) if part.strip())


def _requirement(text: str, labels: Mapping[str, str]) -> bool:
    if found := _SET.match(text):
        name, how, values = found.groups()
        return (labels.get(name) in [v.strip() for v in values.split(",")]) == (how == "in")
    if "!=" in text:
        name, _, value = text.partition("!=")
        return labels.get(name.strip()) != value.strip()
    if "=" in text:
        name, _, value = text.replace("==", "=").partition("=")
        return labels.get(name.strip()) == value.strip()
    return (text.lstrip("!") in labels) != text.startswith("!")


def _fields_match(selector: str, obj: Object) -> bool:
    for part in filter(None, selector.split(",")):
        path, _, wanted = part.partition("=")
        value: object = obj
        for name in path.split("."):
            value = value.get(name, "") if isinstance(value, Mapping) else ""
        if str(value) != wanted.lstrip("="):
            return False
    return True


def page(objects: Objects, target: Target, query: Query) -> Object:
    """One page of a collection, or all of it."""
    revision, after = _resume(query["continue"]) if query.get("continue") else (objects.revision, None)
    if revision < objects.compacted:
        raise expired("The provided continue parameter is too old to display a consistent list result.")
    found = [o for o in objects.at(revision, target.resource, target.namespace) if selects(query, o)]
    rest = [o for o in found if after is None or key_of(o) > after]
    limit = int(query.get("limit") or 0) or len(rest)
    metadata: Object = {"resourceVersion": str(revision)}
    if len(rest) > limit:
        last = key_of(rest[limit - 1])
        metadata["continue"] = base64.urlsafe_b64encode(json.dumps([revision, *last]).encode()).decode()
    resource = target.resource
    return {
        "apiVersion": resource.api_version, "kind": f"{resource.kind}List", "metadata": metadata,
        "items": rest[:limit],
    }  # fmt: skip


def _resume(token: str) -> tuple[int, tuple[str, str]]:
    try:
        revision, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise bad_request("continue key is not valid") from None
    return int(revision), (namespace, name)
