"""The Pod of an attempt, or what makes its Pods: the template with its parameters, our labels, a security context.

What the template says explicitly wins; what it leaves out gets the strictest that Pod Security knows, and never a
service-account token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.kinds.template_kind import TOKEN, TemplateKind
from kubetuna.experiment.model import NOTHING, QUEUE_LABEL, Experiment
from kubetuna.trials.attempts import AttemptKey, AttemptRequest
from kubetuna.trials.environment import CHECKPOINT_DIR, METRICS_FILE, OUT
from kubetuna.trials.substitution import substitute
from kubetuna_operator import (
    ANNOTATION_EXPERIMENT,
    ANNOTATION_PARAMS,
    ANNOTATION_TIMEOUT,
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_PRIMARY,
    LABEL_REPEAT,
    LABEL_TRIAL,
)
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.workloads.metrics_container import add_metrics_container
from kubetuna_operator.workloads.runtime_patch import with_patch

USER, ROOT = 65532, 0
SCRATCH, CHECKPOINT = "kubetuna-scratch", "kubetuna-checkpoint"
SCRATCH_PATH = "/kubetuna"


def attempt_manifest(spec: Experiment, owner: Owner, request: AttemptRequest) -> dict[str, Any]:
    """The object to create for an attempt: its Pod, or what makes its Pods."""
    kind = kind_of(spec.template.trial_spec)
    meta = {"name": f"{owner.name}-{request.key.trial}", "namespace": owner.namespace}
    # A copy, so that it may be written into.
    made = _present(substitute(spec.template.trial_spec, spec.template.substitutions, request.params, meta))
    if kind.node:
        return _of_runtime(made, kind, spec, owner, request)
    primary = kind.template_in(made, spec.template.primary_container)
    for one in kind.pod_sets(made):
        trial = _complete(one.template["spec"], spec, request)
        if one.template is primary:
            add_metrics_container(one.template["spec"], trial, spec)
        if one.template is not made:
            usual = kind.role_labels.get(kind.role(one), {})
            one.template["metadata"] = _metadata(one.template.get("metadata") or {}, spec, owner, request, usual)
    made["metadata"] = _metadata(made.get("metadata") or {}, spec, owner, request)
    if primary is not made and has_several(spec):
        primary["metadata"]["labels"][LABEL_PRIMARY] = "true"
    return _object(kind, made, owner, request)


def _object(kind: TemplateKind, made: Mapping[str, Any], owner: Owner, request: AttemptRequest) -> dict[str, Any]:
    named = {"name": request.name, "namespace": owner.namespace, "ownerReferences": [owner.reference()]}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {**made["metadata"], **named},
        "spec": kind.created_spec(made["spec"]),
    }


def _of_runtime(
    made: dict[str, Any], kind: TemplateKind, spec: Experiment, owner: Owner, request: AttemptRequest
) -> dict[str, Any]:
    """An object whose Pods come from a runtime: what they run as and on is that one's to say."""
    (one,) = kind.pod_sets(made)
    body = one.template["spec"]
    _avoid(body, request.avoid)
    _give_environment(body["containers"][0], body, spec, request)
    made["metadata"] = _metadata(made.get("metadata") or {}, spec, owner, request)
    made["spec"] = with_patch(made["spec"], body, _metadata({}, spec, owner, request))
    return _object(kind, made, owner, request)


def primary_labels(spec: Experiment) -> Mapping[str, str]:
    """The labels of the Pod that is read, where an attempt has several: the template's, else our own mark."""
    if not has_several(spec):
        return {}
    return spec.template.primary_pod_labels or {LABEL_PRIMARY: "true"}


def has_several(spec: Experiment) -> bool:
    """Whether an attempt may have several Pods; of a kind with its own conditions nobody knows how many come."""
    kind = kind_of(spec.template.trial_spec)
    return kind.judged or kind.pods(spec.template.trial_spec) > 1


def _complete(body: dict[str, Any], spec: Experiment, request: AttemptRequest) -> dict[str, Any]:
    """One Pod's spec. Returns its main container, which has the parameters: the one named so, else the first."""
    _default_pod(body, spec)
    _avoid(body, request.avoid)
    for container in [*(body.get("initContainers") or []), *body["containers"]]:
        _default_container(container)
    named = (c for c in body["containers"] if c["name"] == spec.template.primary_container)
    trial: dict[str, Any] = next(named, body["containers"][0])
    _give_environment(trial, body, spec, request)
    return trial


def _present(value: Any) -> Any:
    """Without the fields that are null, as those left empty in YAML are: to Kubernetes they are not there."""
    if isinstance(value, dict):
        return {name: _present(child) for name, child in value.items() if child is not None}
    return [_present(child) for child in value] if isinstance(value, list) else value


def accounts(value: Any) -> Iterator[Any]:
    """The service accounts that are named anywhere in an object, by the new and the old field."""
    if isinstance(value, Mapping):
        yield from (value[name] for name in ("serviceAccountName", "serviceAccount") if name in value)
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    yield from (found for child in children for found in accounts(child))


def attempt_labels(owner: Owner, key: AttemptKey) -> dict[str, str]:
    """What tells an attempt's Pod from all others of a namespace."""
    return {
        LABEL_EXPERIMENT: owner.name,
        LABEL_TRIAL: str(key.trial),
        LABEL_REPEAT: str(key.repeat),
        LABEL_ATTEMPT: str(key.attempt),
    }


def _metadata(
    given: Mapping[str, Any],
    spec: Experiment,
    owner: Owner,
    request: AttemptRequest,
    usual: Mapping[str, str] = NOTHING,
) -> dict[str, Any]:
    labels = {**usual, **(given.get("labels") or {}), **attempt_labels(owner, request.key)}
    if spec.queue_name:
        labels.setdefault(QUEUE_LABEL, spec.queue_name)
    notes = {**(given.get("annotations") or {}), ANNOTATION_PARAMS: request.params_hash}
    notes[ANNOTATION_EXPERIMENT] = owner.uid
    if request.timeout is not None:
        notes[ANNOTATION_TIMEOUT] = str(request.timeout)
    return {"labels": labels, "annotations": notes}


def _default_pod(body: dict[str, Any], spec: Experiment) -> None:
    body["restartPolicy"] = "Never"
    _default(body, TOKEN, False)
    _default(body, "enableServiceLinks", False)
    security = _section(body, "securityContext")
    _default(security, "seccompProfile", {"type": "RuntimeDefault"})
    if security.get("runAsUser") != ROOT:
        _default(security, "runAsNonRoot", True)
    if security.get("runAsNonRoot"):
        for field in ("runAsUser", "runAsGroup", "fsGroup"):
            _default(security, field, USER)


def _avoid(body: dict[str, Any], nodes: tuple[str, ...]) -> None:
    """Prefer other nodes: a bad one fails Pods at once, so that it always has room for the next."""
    if not nodes:
        return
    others = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    affinity = _section(_section(body, "affinity"), "nodeAffinity")
    field = "preferredDuringSchedulingIgnoredDuringExecution"
    affinity[field] = [*(affinity.get(field) or []), {"weight": 100, "preference": {"matchFields": others}}]


def _default_container(container: dict[str, Any]) -> None:
    security = _section(container, "securityContext")
    _default(security, "allowPrivilegeEscalation", False)
    _default(security, "capabilities", {"drop": ["ALL"]})
    if security.get("runAsUser") == ROOT:
        # No kubelet starts root beside what the Pod has by default; whether it may be root, the namespace decides.
        _default(security, "runAsNonRoot", False)
    _default(container, "imagePullPolicy", "IfNotPresent")
    _default(container, "terminationMessagePolicy", "FallbackToLogsOnError")


def _section(holder: dict[str, Any], field: str) -> dict[str, Any]:
    """An object's field that is an object too; one that is left empty is made."""
    found = holder[field] = holder.get(field) or {}
    return cast(dict[str, Any], found)


def _default(holder: dict[str, Any], field: str, value: Any) -> None:
    if holder.get(field) is None:
        holder[field] = value


def _give_environment(
    container: dict[str, Any], body: dict[str, Any], spec: Experiment, request: AttemptRequest
) -> None:
    """Our variables, with folders behind those that name one; what the template says of those wins."""
    written = {entry.get("name"): entry for entry in container.get("env") or []}
    own = {**request.environment, **({METRICS_FILE: spec.collector.path} if spec.collector.folder else {})}
    for variable, mount, volume in (*_folders(spec, request), *_home(container, body)):
        if variable not in written:
            own[variable] = str(mount["mountPath"])
            container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]
            volumes = body.get("volumes") or []
            new = [volume] if all(v.get("name") != volume["name"] for v in volumes) else []
            body["volumes"] = [*volumes, *new]
    kept = [entry for name, entry in written.items() if name not in own]
    container["env"] = [{"name": name, "value": value} for name, value in own.items()] + kept


_Folder = tuple[str, dict[str, Any], dict[str, Any]]


def _home(container: Mapping[str, Any], body: Mapping[str, Any]) -> list[_Folder]:
    """Where libraries keep their caches. The user that we put in the image's place has no home in it."""
    own, around = container.get("securityContext") or {}, body.get("securityContext") or {}
    user = own.get("runAsUser", around.get("runAsUser"))
    mount = {"name": SCRATCH, "mountPath": f"{SCRATCH_PATH}/home", "subPath": "home"}
    return [("HOME", mount, {"name": SCRATCH, "emptyDir": {}})] if user == USER else []


def _folders(spec: Experiment, request: AttemptRequest) -> Iterator[_Folder]:
    """Variable, mount and volume. Folders below a volume, since the kubelet makes those, and for the Pod's user."""
    scratch = {"name": SCRATCH, "emptyDir": {}}
    yield OUT, {"name": SCRATCH, "mountPath": f"{SCRATCH_PATH}/out", "subPath": "out"}, scratch
    checkpoint = spec.checkpoint or {}
    path = str(checkpoint.get("mountPath") or f"{SCRATCH_PATH}/checkpoint")
    mount = {"name": SCRATCH, "mountPath": path, "subPath": "checkpoint"}
    if checkpoint.get("volume"):
        folder = f"{spec.name}/trial-{request.key.trial}"
        folder += f"-{request.key.repeat}" if request.key.repeat else ""
        mount |= {"name": CHECKPOINT, "subPath": folder}
        yield CHECKPOINT_DIR, mount, {**checkpoint["volume"], "name": CHECKPOINT}
    else:
        yield CHECKPOINT_DIR, mount, scratch
