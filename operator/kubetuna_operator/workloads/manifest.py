"""The Pod of an attempt, or what makes it: the template with its parameters, our labels, a security context.

What the template says explicitly wins; what it leaves out gets the strictest that Pod Security knows, and never a
service-account token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.kinds import KINDS
from kubetuna.experiment.model import Experiment
from kubetuna.trials.attempts import AttemptKey, AttemptRequest
from kubetuna.trials.substitution import substitute
from kubetuna_operator import (
    ANNOTATION_EXPERIMENT,
    ANNOTATION_PARAMS,
    ANNOTATION_TIMEOUT,
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_REPEAT,
    LABEL_TRIAL,
)
from kubetuna_operator.kube.objects import Owner

USER = 65532
SCRATCH, CHECKPOINT = "kubetuna-scratch", "kubetuna-checkpoint"
SCRATCH_PATH = "/kubetuna"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def attempt_manifest(spec: Experiment, owner: Owner, request: AttemptRequest) -> dict[str, Any]:
    """The object to create for an attempt: its Pod, or what makes its Pod."""
    kind = KINDS[spec.template.kind]
    meta = {"name": f"{owner.name}-{request.key.trial}", "namespace": owner.namespace}
    # A copy, so that it may be written into.
    made = _present(substitute(spec.template.trial_spec, spec.template.substitutions, request.params, meta))
    template = kind.template_in(made)
    body = template["spec"]
    _default_pod(body, spec)
    for container in [*(body.get("initContainers") or []), *body["containers"]]:
        _default_container(container)
    primary = next(c for c in body["containers"] if c["name"] == spec.template.primary_container)
    _give_environment(primary, body, spec, request)
    for holder in (made, template):
        holder["metadata"] = _metadata(holder.get("metadata") or {}, spec, owner, request)
    named = {"name": request.name, "namespace": owner.namespace, "ownerReferences": [owner.reference()]}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {**made["metadata"], **named},
        "spec": kind.created_spec(made["spec"]),
    }


def _present(value: Any) -> Any:
    """Without the fields that are null, as those left empty in YAML are: to Kubernetes they are not there."""
    if isinstance(value, dict):
        return {name: _present(child) for name, child in value.items() if child is not None}
    return [_present(child) for child in value] if isinstance(value, list) else value


def attempt_labels(owner: Owner, key: AttemptKey) -> dict[str, str]:
    """What tells an attempt's Pod from all others of a namespace."""
    return {
        LABEL_EXPERIMENT: owner.name,
        LABEL_TRIAL: str(key.trial),
        LABEL_REPEAT: str(key.repeat),
        LABEL_ATTEMPT: str(key.attempt),
    }


def _metadata(given: Mapping[str, Any], spec: Experiment, owner: Owner, request: AttemptRequest) -> dict[str, Any]:
    labels = {**(given.get("labels") or {}), **attempt_labels(owner, request.key)}
    if spec.queue_name:
        labels.setdefault(QUEUE_LABEL, spec.queue_name)
    notes = {**(given.get("annotations") or {}), ANNOTATION_PARAMS: request.params_hash}
    notes[ANNOTATION_EXPERIMENT] = owner.uid
    if request.timeout is not None:
        notes[ANNOTATION_TIMEOUT] = str(request.timeout)
    return {"labels": labels, "annotations": notes}


def _default_pod(body: dict[str, Any], spec: Experiment) -> None:
    body["restartPolicy"] = "Never"
    body.setdefault("automountServiceAccountToken", False)
    body.setdefault("enableServiceLinks", False)
    security = body.setdefault("securityContext", {})
    security.setdefault("runAsNonRoot", True)
    security.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    if security["runAsNonRoot"]:
        for field in ("runAsUser", "runAsGroup", "fsGroup"):
            security.setdefault(field, USER)


def _default_container(container: dict[str, Any]) -> None:
    security = container.setdefault("securityContext", {})
    security.setdefault("allowPrivilegeEscalation", False)
    security.setdefault("capabilities", {"drop": ["ALL"]})
    container.setdefault("imagePullPolicy", "IfNotPresent")
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")


def _give_environment(
    container: dict[str, Any], body: dict[str, Any], spec: Experiment, request: AttemptRequest
) -> None:
    """Our variables, with folders behind the two that name one; what the template says of those two wins."""
    written = {entry.get("name"): entry for entry in container.get("env") or []}
    own = dict(request.environment)
    for variable, mount, volume in _folders(spec, request):
        if variable not in written:
            own[variable] = str(mount["mountPath"])
            container.setdefault("volumeMounts", []).append(mount)
            volumes = body.setdefault("volumes", [])
            if all(v.get("name") != volume["name"] for v in volumes):
                volumes.append(volume)
    kept = [entry for name, entry in written.items() if name not in own]
    container["env"] = [{"name": name, "value": value} for name, value in own.items()] + kept


def _folders(spec: Experiment, request: AttemptRequest) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Variable, mount and volume. Folders below a volume, since the kubelet makes those, and for the Pod's user."""
    scratch = {"name": SCRATCH, "emptyDir": {}}
    yield "KUBETUNA_OUT", {"name": SCRATCH, "mountPath": f"{SCRATCH_PATH}/out", "subPath": "out"}, scratch
    checkpoint = spec.checkpoint or {}
    path = str(checkpoint.get("mountPath") or f"{SCRATCH_PATH}/checkpoint")
    mount = {"name": SCRATCH, "mountPath": path, "subPath": "checkpoint"}
    if checkpoint.get("volume"):
        folder = f"{spec.name}/trial-{request.key.trial}"
        folder += f"-{request.key.repeat}" if request.key.repeat else ""
        mount |= {"name": CHECKPOINT, "subPath": folder}
        yield "KUBETUNA_CHECKPOINT_DIR", mount, {**checkpoint["volume"], "name": CHECKPOINT}
    else:
        yield "KUBETUNA_CHECKPOINT_DIR", mount, scratch
