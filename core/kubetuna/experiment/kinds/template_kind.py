"""What must be known of a kind of template: data and pure functions over plain objects.

An attempt is a Pod, or an object (its workload) of which a controller makes one or several. One of them, the
primary Pod, is read and stopped; a kind says where the templates of all are, and what has to be done about the
object around them. Locally the primary Pod's main container runs as a process, so only its template is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetuna.experiment.field_errors import invalid
from kubetuna.experiment.kinds.gjson import parse_condition

# The path of a field below the object's spec, and what is wrong with it.
Fault = tuple[str, str]
Path = tuple[str | int, ...]
# What says how many Pods come of a template below it; of a Job that many at once.
COUNTS = ("replicas", "parallelism")
# Pods of one attempt; far more than any trial has.
PODS_LIMIT = 100_000
# The container of a runtime's Pod that trains, and the job that makes the Pod.
NODE = "node"
# What a Pod's template asks for a service-account token by.
TOKEN = "automountServiceAccountToken"
# By these the controllers number the Pods of one template. The primary Pod is number 0 of its own.
INDEX_LABELS = (
    "batch.kubernetes.io/job-completion-index",
    "jobset.sigs.k8s.io/job-index",
    "training.kubeflow.org/replica-index",
)


def is_true(condition: str) -> str:
    """The expression for a condition of Kubernetes' usual form."""
    return f'status.conditions.#(type=="{condition}")#|#(status=="True")#'


@dataclass(frozen=True, slots=True)
class PodSet:
    """One Pod template of an object, itself and no copy, at its path; and how many Pods come of it at once."""

    path: Path
    template: Any
    count: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What an object says of its own end."""

    succeeded: bool
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateKind:
    """One kind. ``plural`` names its collection; empty where the cluster has to be asked.

    ``pod_template`` is the path, from ``spec`` on, of what has the Pod's metadata and spec; none where there may be
    several, which are found by their shape. ``roles`` are names on their paths, the primary Pod's first. ``fields``
    are the names known in its spec, by which slips are told. ``fixed`` are numbers of its spec: every object has
    them as it is made, and a template may set no others, as the CRD sees to. ``check`` finds what else ``plan``
    refuses. ``overrides`` and ``dropped`` are paths below ``spec`` (``*``: each item) of what is written over, and
    of what is left out, since it would run Pods again or delete them with their logs; ``deadline`` is the one among
    these that limits an attempt's time, which we do in its place.

    Once ``success`` or ``failure`` holds the object has ended. ``made_by`` are the kinds of the objects that make
    its Pods, where it does not itself; ``goes_last`` whether it can stay until these and the Pods are gone, since
    its controller makes nothing more for what is being deleted; ``leaves`` is the kind of what it makes
    under its own name and leaves behind where it goes before that. ``falls_with_one``: one Pod that fails is the
    end of all. ``conditions`` are those that its controller knows; ``alone`` says whether its primary Pod's command
    makes sense by itself.

    ``node`` is the path of what is known of the primary Pod's container where the Pods' template is not in the
    object but in a runtime of the cluster. Retries are then the runtime's, so what is kept of a trial that was told
    gets ``held`` into its spec, which ends whatever would run on.

    ``with_token`` are the roles whose Pods can do nothing without a service-account token; that they get it their
    template has to say, as for any Pod. ``role_labels`` are what older controllers put on the Pods of a role:
    templates still name the primary Pod by them. ``container`` is what its controller wants one container of each
    template to be called.
    """

    name: str
    api_version: str
    plural: str = ""
    pod_template: Path = ()
    roles: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    fixed: Mapping[str, int] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], Iterable[Fault]] = lambda _spec: ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    deadline: str = ""
    success: str = ""
    failure: str = ""
    made_by: tuple[str, ...] | None = ()
    goes_last: bool = False
    leaves: TemplateKind | None = None
    falls_with_one: bool = True
    conditions: tuple[str, ...] = ()
    alone: bool = True
    node: Path = ()
    held: Mapping[str, Any] = field(default_factory=dict)
    with_token: tuple[str, ...] = ()
    role_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    container: str = ""

    @property
    def makes_pod(self) -> bool:
        """Whether a controller makes Pods from the object, rather than the object being the Pod."""
        return self.name != "Pod"

    @property
    def version_rule(self) -> str:
        """What to say of a template of another version."""
        return f"must be {self.api_version} for kind {self.name}"

    @property
    def judged(self) -> bool:
        """Whether a template may say by conditions of its own when it has ended."""
        return self.makes_pod and not self.pod_template

    def collection(self, namespace: str, plural: str = "") -> str:
        """The path of the collection that its objects are created in."""
        root = "/apis" if "/" in self.api_version else "/api"
        return f"{root}/{self.api_version}/namespaces/{namespace}/{plural or self.plural}"

    def pod_sets(self, obj: Mapping[str, Any]) -> list[PodSet]:
        """All Pod templates, the primary Pod's first as far as the kind alone tells."""
        if self.node:
            return [_of_node(self.node, _at(obj, self.node))]
        if self.pod_template or not self.makes_pod:
            found = _at(obj, self.pod_template)
            return [PodSet(self.pod_template, found, _count(obj, self.pod_template))] if found is not None else []
        sets = [PodSet(path, _at(obj, path), _count(obj, path)) for path in _templates(obj, ())]
        return sorted(sets, key=lambda one: self._rank(one.path))

    def _rank(self, path: Path) -> int:
        return next((i for i, role in enumerate(self.roles) if role in path), len(self.roles))

    def role(self, one: PodSet) -> str:
        """Which of the known roles a template is of; empty for any other."""
        return (*self.roles, "")[self._rank(one.path)]

    def primary_set(self, obj: Mapping[str, Any], container: str = "") -> PodSet | None:
        """The template of the primary Pod: the first that has a container of this name, else the first."""
        sets = self.pod_sets(obj)
        return next((one for one in sets if container in _container_names(one.template)), sets[0] if sets else None)

    def template_in(self, obj: Mapping[str, Any], container: str = "") -> Any:
        """What has the primary Pod's metadata and spec, itself and no copy; None where the object lacks it."""
        found = self.primary_set(obj, container)
        return None if found is None else found.template

    def pods(self, obj: Mapping[str, Any]) -> int:
        """How many Pods an attempt has at once."""
        return sum(one.count for one in self.pod_sets(obj))

    def faults(self, spec: Mapping[str, Any]) -> Iterator[Fault]:
        """Whatever is wrong in the object's spec, beside its Pods' templates."""
        yield from not_exactly(spec, self.fixed)
        yield from self.check(spec)
        sets = self.pod_sets({"spec": spec})
        for path in dict.fromkeys(path for one in sets for path in _count_paths(one.path)):
            value = _at({"spec": spec}, path)
            if value is not None and (type(value) is not int or not 0 <= value <= PODS_LIMIT):
                yield as_text(path[1:]), invalid(value, f"must be a whole number from 0 to {PODS_LIMIT}")

    def created_spec(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The object's spec as it is created."""
        made = {**_plain(spec), **self.fixed}
        for path in self.dropped:
            _write(made, path.split("."), _GONE)
        for path, value in self.overrides.items():
            _write(made, path.split("."), value)
        return made

    def overwritten(self, spec: Mapping[str, Any]) -> Iterator[str]:
        """What of a template's spec is replaced, in words."""
        made = self.created_spec(spec)
        for path in (*self.overrides, *self.dropped):
            before, after = _values(spec, path.split(".")), _values(made, path.split("."))
            if any(value not in (None, *after) for value in before):
                how = "left out" if path in self.dropped else f"set to {self.overrides[path]}"
                yield f"trialSpec.spec.{path} is {how}: retries, deadlines and deletions are kubetuna's"

    def misnamed(self, obj: Mapping[str, Any]) -> Iterator[str]:
        """The templates that the controller refuses for the names of their containers."""
        sets = self.pod_sets(obj) if self.container else ()
        yield from (as_text(one.path) for one in sets if self.container not in _container_names(one.template))

    def tokenless(self, obj: Mapping[str, Any]) -> Iterator[str]:
        """The templates whose Pods need a service-account token and do not ask for it."""
        needy = (one for one in self.pod_sets(obj) if self.role(one) in self.with_token)
        yield from (as_text(one.path) for one in needy if not one.template["spec"].get(TOKEN))

    def timeout(self, obj: Mapping[str, Any]) -> float | None:
        """For how many seconds the object lets an attempt run, if it says so."""
        limit = _at(obj, ("spec", *self.deadline.split(".")))
        return float(limit) if type(limit) is int and limit > 0 else None

    def conclusion(self, obj: Mapping[str, Any], success: str = "", failure: str = "") -> Conclusion | None:
        """How an object has come to its end; None while it has not. As in Katib a failure counts first."""
        for text, succeeded in ((failure or self.failure, False), (success or self.success, True)):
            found = parse_condition(text).found(obj) if text else None
            if found is not None:
                said = (found.get("reason"), found.get("message"))
                return Conclusion(
                    succeeded, ": ".join(word for word in said if isinstance(word, str) and word)[:300]
                )
        return None

    def maker(self, reference: Mapping[str, Any]) -> tuple[str, str] | None:
        """Name and UID of the object that made a Pod, from the Pod's owner reference; None where there is none.

        It is what has to be deleted, and takes its Pods along.
        """
        name, uid = reference.get("name"), reference.get("uid")
        named = isinstance(name, str) and isinstance(uid, str) and reference.get("kind") == self.name
        return (str(name), str(uid)) if named and name and uid else None

    def makes(self, reference: Mapping[str, Any], attempt: str) -> bool:
        """Whether what owns a Pod is the object of that name, or one that its controller makes in between."""
        name, kind = reference.get("name"), reference.get("kind")
        if not isinstance(name, str) or (self.made_by is not None and kind not in (self.made_by or (self.name,))):
            return False
        return name == attempt or (self.made_by != () and name.startswith(f"{attempt}-"))


def not_exactly(spec: Mapping[str, Any], wanted: Mapping[str, int]) -> Iterator[Fault]:
    """The numbers that are given and are other ones."""
    for name, number in wanted.items():
        value = spec.get(name)
        if value is not None and (type(value) is not int or value != number):
            yield name, invalid(value, f"must be {number}: an attempt's Pods are made once")


def as_text(path: Path) -> str:
    """A path as people write it: ``spec.template``, ``spec.groups[0].template``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def is_primary(labels: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether a Pod of an attempt may be its primary one."""
    first = all(labels.get(name, "0") == "0" for name in INDEX_LABELS)
    return first and all(labels.get(name) == value for name, value in wanted.items())


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _of_node(path: Path, node: Any) -> PodSet:
    """The template that a runtime's Pods have as far as a trial knows; a copy."""
    given = node if isinstance(node, Mapping) else {}
    own = {name: given[name] for name in ("image", "command", "args", "env") if given.get(name) is not None}
    container = {"name": NODE, **own, "resources": given.get("resourcesPerNode") or {}}
    return PodSet(path, {"metadata": {}, "spec": {"containers": [container]}}, _number(given.get("numNodes"), 1))


def _templates(value: Any, path: Path) -> Iterator[Path]:
    """Where there is something with a spec that has containers."""
    if isinstance(value, Mapping):
        if isinstance(_at(value, ("spec", "containers")), list):
            yield path
            return
        for name, child in value.items():
            yield from _templates(child, (*path, str(name)))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _templates(child, (*path, index))


def _container_names(template: Any) -> list[Any]:
    found = _at(template, ("spec", "containers"))
    return [c.get("name") for c in found if isinstance(c, Mapping)] if isinstance(found, list) else []


def _count_paths(path: Path) -> Iterator[Path]:
    for end in range(1, len(path)):
        yield from ((*path[:end], name) for name in (*COUNTS, "completions"))


def _count(obj: Mapping[str, Any], path: Path) -> int:
    """Pods at once of the template at a path: the product of all counts on the way there."""
    total = 1
    for end in range(1, len(path)):
        around = _at(obj, path[:end])
        for name in COUNTS:
            total *= _number(_at(around, (name,)), 1)
        if _at(around, ("parallelism",)) is not None:
            most = _number(_at(around, ("completions",)), PODS_LIMIT)
            total = min(total, total // max(1, _number(_at(around, ("parallelism",)), 1)) * most)
    return min(total, PODS_LIMIT)


def _number(value: Any, usual: int) -> int:
    return value if type(value) is int and 0 <= value <= PODS_LIMIT else usual


_GONE = object()


def _write(holder: Any, path: list[str], value: Any) -> None:
    """Set what is at a path (``*``: of each item) or take it away; only where what holds it is there."""
    first, rest = path[0], path[1:]
    if first == "*":
        for child in holder.values() if isinstance(holder, dict) else holder if isinstance(holder, list) else ():
            _write(child, rest, value)
    elif not isinstance(holder, dict):
        return
    elif rest:
        if value is not _GONE and "*" not in rest:
            holder.setdefault(first, {})
        _write(holder.get(first), rest, value)
    elif value is _GONE:
        holder.pop(first, None)
    else:
        holder[first] = value


def _values(holder: Any, path: list[str]) -> list[Any]:
    if not path:
        return [holder]
    if path[0] == "*":
        children = holder.values() if isinstance(holder, Mapping) else holder if isinstance(holder, list) else ()
        return [found for child in children for found in _values(child, path[1:])]
    return _values(holder.get(path[0]), path[1:]) if isinstance(holder, Mapping) else []


def _plain(value: Any) -> Any:
    """A copy that may be written into."""
    if isinstance(value, Mapping):
        return {name: _plain(child) for name, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value
