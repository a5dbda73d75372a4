"""The Pod of an attempt: the template with its parameters, our labels, and a restricted security context.

What the template says explicitly wins; what it leaves out gets the strictest that Pod Security knows, and never a
service-account token.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna.ports import Launch
from kubetuna.resources import pod_spec
from kubetuna.spec.model import Experiment
from kubetuna.spec.substitution import substitute
from kubetuna_operator import (
    ANNOTATION_PARAMS,
    ANNOTATION_TIMEOUT,
    GROUP,
    LABEL_ATTEMPT,
    LABEL_EXPERIMENT,
    LABEL_TRIAL,
    VERSION,
)

USER = 65532
SCRATCH = "kubetuna-scratch"
SCRATCH_PATH = "/kubetuna"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


@dataclass(frozen=True, slots=True)
class Owner:
    """The Experiment that Pods belong to."""

    namespace: str
    name: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """As an owner reference: Pods go when their Experiment goes."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Experiment",
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }


def pod_manifest(spec: Experiment, owner: Owner, order: Launch) -> dict[str, Any]:
    """The Pod to create for an attempt."""
    meta = {"name": f"{owner.name}-{order.key.trial}", "namespace": owner.namespace}
    filled = substitute(spec.template.trial_spec, spec.template.substitutions, order.params, meta)
    template = _template(filled)
    body = copy.deepcopy(dict(pod_spec(filled)))
    _default_pod(body, spec)
    for container in [*(body.get("initContainers") or []), *body["containers"]]:
        _default_container(container)
    primary = next(c for c in body["containers"] if c["name"] == spec.template.primary_container)
    _give_environment(primary, body, order)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(template.get("metadata") or {}, spec, owner, order),
        "spec": body,
    }


def _template(filled: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object whose labels and annotations are the Pod's: the Pod itself, or a Job's template."""
    inner = (filled.get("spec") or {}).get("template")
    return inner if isinstance(inner, Mapping) else filled


def _metadata(given: Mapping[str, Any], spec: Experiment, owner: Owner, order: Launch) -> dict[str, Any]:
    labels = {
        **(given.get("labels") or {}),
        LABEL_EXPERIMENT: owner.name,
        LABEL_TRIAL: str(order.key.trial),
        LABEL_ATTEMPT: str(order.key.attempt),
    }
    if spec.queue_name:
        labels.setdefault(QUEUE_LABEL, spec.queue_name)
    notes = {**(given.get("annotations") or {}), ANNOTATION_PARAMS: order.params_hash}
    if order.timeout is not None:
        notes[ANNOTATION_TIMEOUT] = str(order.timeout)
    return {
        "name": order.name,
        "namespace": owner.namespace,
        "labels": labels,
        "annotations": notes,
        "ownerReferences": [owner.reference()],
    }


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


def _give_environment(container: dict[str, Any], body: dict[str, Any], order: Launch) -> None:
    own = dict(order.environment)
    written = {entry.get("name"): entry for entry in container.get("env") or []}
    if not {"KUBETUNA_CHECKPOINT_DIR", "KUBETUNA_OUT"} <= written.keys():
        own |= {"KUBETUNA_CHECKPOINT_DIR": f"{SCRATCH_PATH}/checkpoint", "KUBETUNA_OUT": f"{SCRATCH_PATH}/out"}
        body.setdefault("volumes", []).append({"name": SCRATCH, "emptyDir": {}})
        container.setdefault("volumeMounts", []).append({"name": SCRATCH, "mountPath": SCRATCH_PATH})
        own = {name: value for name, value in own.items() if name not in written or name in order.environment}
    kept = [entry for name, entry in written.items() if name not in own]
    container["env"] = [{"name": name, "value": value} for name, value in own.items()] + kept
