"""The API server's objects: every field has the type that it should have, or reads as absent; and references.

People and other controllers write into the objects that we watch. None of them may stop an operator that works for
a whole cluster, so nothing here raises but ``Unreadable``, for an object that does not even say which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubetuna.errors import KubetunaError
from kubetuna_operator import GROUP, VERSION

# Kubernetes' own integers are of 64 bits.
LARGEST = 2**63


class Unreadable(KubetunaError):
    """The object lacks what every object of its kind has; others of its kind are read all the same."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The Experiment that Pods belong to; of ours, unless ``version`` says whose."""

    namespace: str
    name: str
    uid: str
    version: str = f"{GROUP}/{VERSION}"

    def reference(self) -> dict[str, Any]:
        """As an owner reference: Pods go when their Experiment goes."""
        return {
            "apiVersion": self.version,
            "kind": "Experiment",
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }


def mapping(value: object) -> Mapping[str, Any]:
    """An object's fields; none of anything else."""
    # Nearly always it is a dict, which takes a tenth of the time to see.
    return value if isinstance(value, (dict, Mapping)) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def text(value: object) -> str:
    """A text; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def whole(value: object) -> int | None:
    """An integer."""
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    return value if fits and isinstance(value, int) else None


def seconds(value: object) -> float | None:
    """RFC 3339 to seconds since the epoch."""
    try:
        return datetime.fromisoformat(text(value)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def required(fields: Mapping[str, Any], name: str) -> str:
    """A text without which an object cannot be told from others."""
    found = text(fields.get(name))
    if not found:
        raise Unreadable(f"it has no readable {name}")
    return found


def key_of(obj: object) -> tuple[str, str]:
    """Namespace, which some kinds lack, and name."""
    metadata = mapping(mapping(obj).get("metadata"))
    return text(metadata.get("namespace")), required(metadata, "name")


def revision_of(obj: object) -> str:
    """The revision of an object or of a list, from which a watch goes on."""
    return required(mapping(mapping(obj).get("metadata")), "resourceVersion")


def experiment(obj: object) -> dict[str, Any]:
    """An Experiment whose metadata and status can be relied on; its spec is the parser's to judge."""
    fields = mapping(obj)
    metadata, status = mapping(fields.get("metadata")), mapping(fields.get("status"))
    finalizers = metadata.get("finalizers")
    return {
        **{name: fields.get(name) for name in ("apiVersion", "kind", "spec")},
        "metadata": {
            **metadata,
            **{name: required(metadata, name) for name in ("namespace", "name", "uid", "resourceVersion")},
            "generation": whole(metadata.get("generation")) or 1,
            "finalizers": [f for f in finalizers if text(f)] if isinstance(finalizers, list) else [],
        },
        "status": {**status, "conditions": [c for c in mappings(status.get("conditions")) if _is_condition(c)]},
    }


def _is_condition(fields: Mapping[str, Any]) -> bool:
    return all(text(fields.get(name)) for name in ("type", "status", "lastTransitionTime"))
