"""What must be known of a kind of template: data and pure functions over plain objects.

An attempt is one Pod, whatever the kind: it is read, stopped and judged by its Pod. A kind says where in its object
that Pod's template is, and what has to be done about the object around it. Locally the Pod's main container runs as
a process, so nothing but the place of the Pod's template is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetuna.experiment.field_errors import invalid

# The path of a field below the object's spec, and what is wrong with it.
Fault = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateKind:
    """One kind. ``plural`` names its collection.

    ``pod_template`` is the path, from ``spec`` on, of what has the Pod's metadata and spec; none in a Pod itself.
    ``fields`` are the names known in its spec, by which slips are told. ``fixed`` are numbers of its spec: every
    created object has them, and a template may set no others, which the CRD sees to as well. ``check`` finds what
    else ``plan`` refuses. Once one of ``end_conditions`` is true, no Pod will come any more. ``dropped`` are fields
    of its spec that would delete the Pod with its log; ``deadline`` is the one among them that limits an attempt's
    time, which we do in its place.
    """

    name: str
    api_version: str
    plural: str
    pod_template: tuple[str | int, ...] = ()
    fields: tuple[str, ...] = ()
    fixed: Mapping[str, int] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], Iterable[Fault]] = lambda _spec: ()
    end_conditions: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    deadline: str = ""

    @property
    def makes_pod(self) -> bool:
        """Whether a controller makes the Pod from the object, rather than the object being the Pod."""
        return bool(self.pod_template)

    @property
    def version_rule(self) -> str:
        """What to say of a template of another version."""
        return f"must be {self.api_version} for kind {self.name}"

    @property
    def pod_template_path(self) -> str:
        """The path as people write it: ``spec.template``, ``spec.groups[0].template``."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.pod_template)[1:]

    def collection(self, namespace: str) -> str:
        """The path of the collection that its objects are created in."""
        root = "/apis" if "/" in self.api_version else "/api"
        return f"{root}/{self.api_version}/namespaces/{namespace}/{self.plural}"

    def template_in(self, obj: Mapping[str, Any]) -> Any:
        """What has the Pod's metadata and spec, itself and no copy; None where the object lacks it."""
        return _at(obj, self.pod_template)

    def faults(self, spec: Mapping[str, Any]) -> Iterator[Fault]:
        """Whatever is wrong in the object's spec, beside its Pod's template."""
        yield from not_exactly(spec, self.fixed)
        yield from self.check(spec)

    def created_spec(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The object's spec as it is created."""
        return {**{name: value for name, value in spec.items() if name not in self.dropped}, **self.fixed}

    def timeout(self, obj: Mapping[str, Any]) -> float | None:
        """For how many seconds the object lets an attempt run, if it says so."""
        limit = _at(obj, ("spec", self.deadline))
        return float(limit) if type(limit) is int and limit > 0 else None

    def has_ended(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object has come to its end, so that no Pod will come any more."""
        conditions = _at(obj, ("status", "conditions"))
        found = [c for c in conditions if isinstance(c, Mapping)] if isinstance(conditions, list) else []
        return any(c.get("status") == "True" and c.get("type") in self.end_conditions for c in found)

    def maker(self, reference: Mapping[str, Any]) -> tuple[str, str] | None:
        """Name and UID of the object that made a Pod, from the Pod's owner reference; None where there is none.

        It is what has to be deleted, and takes its Pod along.
        """
        name, uid = reference.get("name"), reference.get("uid")
        named = isinstance(name, str) and isinstance(uid, str) and reference.get("kind") == self.name
        return (str(name), str(uid)) if named and name and uid else None


def not_exactly(spec: Mapping[str, Any], wanted: Mapping[str, int]) -> Iterator[Fault]:
    """The numbers that are given and are other ones."""
    for name, number in wanted.items():
        value = spec.get(name)
        if value is not None and (type(value) is not int or value != number):
            yield name, invalid(value, f"must be {number}: an attempt is one Pod, made once")


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value
