"""The kinds that the server knows, and which of them a path names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind. ``status``: a subresource of its own; ``generation``: counted; ``keyed``: lists that are maps."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = False
    generation: bool = False
    unconditional: bool = True
    keyed: Mapping[Path, str] = field(default_factory=lambda: _OWNERS)

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def key_of(self, path: tuple[str, ...]) -> str | None:
        """The field by which the items of a list are told apart; None where the list is one value."""
        return self.keyed.get(path)


_OWNERS = {("metadata", "ownerReferences"): "uid"}
_CONDITIONS = {**_OWNERS, ("status", "conditions"): "type"}

PODS = Resource("", "v1", "pods", "Pod", status=True, keyed=_CONDITIONS)
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", unconditional=False)
JOBS = Resource("batch", "v1", "jobs", "Job", status=True, generation=True, keyed=_CONDITIONS)
EXPERIMENTS = Resource(
    "kubetuna.dev", "v1alpha1", "experiments", "Experiment",
    status=True, generation=True, unconditional=False, keyed=_CONDITIONS,
)  # fmt: skip
TRIALS = Resource("kubetuna.dev", "v1alpha1", "trials", "Trial", generation=True, unconditional=False)

CLAIM_TEMPLATES = Resource("resource.k8s.io", "v1beta2", "resourceclaimtemplates", "ResourceClaimTemplate")
JOBSETS = Resource("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet", status=True, generation=True)
KATIB_EXPERIMENTS = Resource(
    "kubeflow.org", "v1beta1", "experiments", "Experiment", status=True, generation=True, unconditional=False
)
KATIB_TRIALS = Resource("kubeflow.org", "v1beta1", "trials", "Trial", generation=True, unconditional=False)
PYTORCH_JOBS = Resource("kubeflow.org", "v1", "pytorchjobs", "PyTorchJob", status=True, generation=True)
TRAIN_JOBS = Resource("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob", status=True, generation=True)
# A kind that kubetuna has no row for.
WORKFLOWS = Resource("example.org", "v1", "workflows", "Workflow", status=True, generation=True)

_KNOWN = (
    *(PODS, EVENTS, NAMESPACES, QUOTAS, CONFIG_MAPS, LEASES, JOBS, EXPERIMENTS, TRIALS),
    *(CLAIM_TEMPLATES, JOBSETS, PYTORCH_JOBS, TRAIN_JOBS, WORKFLOWS, KATIB_EXPERIMENTS, KATIB_TRIALS),
)
_BY_PATH = {(r.group, r.version, r.plural): r for r in _KNOWN}
BY_KIND = {(r.api_version, r.kind): r for r in _KNOWN}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a collection, an object of it, or a part of that object."""

    resource: Resource
    namespace: str | None = None
    name: str | None = None
    part: str | None = None


def resources_of(path: str) -> Object | None:
    """What the server has of a group's version (``/apis/GROUP/VERSION``); None of any other path."""
    words = [word for word in path.split("/") if word]
    version = "/".join(words[1:])
    if words[:1] != ["apis"] or len(words) != 3:
        return None
    named = [{"name": r.plural, "kind": r.kind} for r in _BY_PATH.values() if r.api_version == version]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": named} if named else None


def find_target(path: str) -> Target | None:
    """The target of ``/api/v1/…`` or ``/apis/GROUP/VERSION/…``; None where there is no such kind."""
    words = [word for word in path.split("/") if word]
    group, version, *rest = ["", *words[1:]] if words[:1] == ["api"] else words[1:] or [""]
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    resource = _BY_PATH.get((group, version, rest[0])) if rest and len(rest) <= 3 else None
    if resource is None or (namespace is not None and not resource.namespaced):
        return None
    return Target(resource, namespace, *rest[1:])
