"""What a Pod template's own fields may hold, as far as a mistake in them could only fail or be ignored later.

The names are those of Kubernetes 1.37; a name beyond them is refused only where it looks like a slip of a known
one, so that a newer cluster's fields still reach it. What the CRD does not look into is checked here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from kubetuna.experiment.field_errors import invalid, unknown
from kubetuna.experiment.resources import is_accelerator
from kubetuna.parsing.fields import Fields
from kubetuna.parsing.schema import Free, Integer, List, Object, Text, open_object

CONTAINER = [
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
]
POD = [
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "evictionResponders",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "schedulingGroup",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
]

_QUANTITY = re.compile(r"\d+(\.\d*)?([eE][-+]?\d+|[numkMGTPE]|[KMGTPE]i)?\Z", re.ASCII)
_NEAR = 0.75
_OPEN = open_object({})
_NAMED = List(open_object({"name": Text(required=True)}), high=10_000)
_AMOUNTS = Object({}, values=Free())
_RESOURCES = open_object({"requests": _AMOUNTS, "limits": _AMOUNTS})
# More digits than any cluster has devices.
_DEVICES = re.compile(r"\d{1,9}\Z", re.ASCII)
# Of other extended resources: a device's memory in bytes is one.
_WHOLE = re.compile(r"\d{1,20}([kMGTPE]|[KMGTPE]i|[eE]\d{1,2})?\Z", re.ASCII)
_POD = open_object(
    {
        "terminationGracePeriodSeconds": Integer(low=0),
        "securityContext": _OPEN,
        "volumes": _NAMED,
        "initContainers": List(open_object({"name": Text(required=True), "resources": _RESOURCES}), high=10_000),
        "resourceClaims": _NAMED,
    }
)
_CONTAINER = open_object(
    {
        "securityContext": _OPEN,
        "volumeMounts": _NAMED,
        "env": List(open_object({"name": Text(required=True), "value": Text()}), high=10_000),
        "resources": _RESOURCES,
    }
)

# What a TrainJob says of the Pods that its runtime describes.
TRAINER = ["args", "command", "env", "image", "numNodes", "numProcPerNode", "resourcesPerNode"]
_WORDS = List(Text(), high=1024)
_TRAIN_JOB = open_object(
    {
        "runtimeRef": open_object({"name": Text(low=1, required=True)}, required=True),
        "initializer": _OPEN,
        "runtimePatches": List(open_object({"manager": Text(required=True)}), high=16),
        "trainer": open_object(
            {
                "image": Text(),
                "command": _WORDS,
                "args": _WORDS,
                "env": _CONTAINER.fields["env"],
                "numNodes": Integer(low=1, high=10_000),
                "resourcesPerNode": _RESOURCES,
            }
        ),
    }
)


def check_names(fields: Fields, known: Sequence[str]) -> None:
    """Refuse a name that is a slip of a known one."""
    for name in fields.raw_all():
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=_NEAR) if name not in known else []
        if near:
            fields.problem(str(name), unknown(name, near))


def check_pod(pod: Fields) -> None:
    """Refuse what is wrong in a Pod's spec beside its containers."""
    check_names(pod, POD)
    pod.check(_POD)
    _check_user(pod)
    for container in pod.objects("initContainers"):
        _check_resources(container)


def check_container(container: Fields) -> None:
    """Refuse what is wrong in one container."""
    check_names(container, CONTAINER)
    container.check(_CONTAINER)
    _check_user(container)
    _check_resources(container)


def check_train_job(spec: Fields) -> None:
    """Refuse what is wrong in what stands for the Pods of a runtime."""
    spec.check(_TRAIN_JOB)
    check_names(spec.child("trainer"), TRAINER)
    _check_resources(spec.child("trainer"), "resourcesPerNode")


def _check_resources(container: Fields, name: str = "resources") -> None:
    for field in ("requests", "limits"):
        _check_amounts(container.child(name).child(field))


def _check_user(holder: Fields) -> None:
    security = holder.child("securityContext")
    if security.raw("runAsNonRoot") is True and security.raw("runAsUser") in (0, "0"):
        security.problem("runAsUser", invalid(0, "must be another user, or runAsNonRoot: false"))


def _check_amounts(amounts: Fields) -> None:
    for name, amount in amounts.raw_all().items():
        text = str(amount)
        if isinstance(amount, bool) or not isinstance(amount, int | float | str) or not _QUANTITY.match(text):
            amounts.problem(str(name), invalid(amount, "must be a quantity, such as 2, 500m or 4Gi"))
        elif is_accelerator(str(name)) and not _DEVICES.match(text):
            amounts.problem(str(name), invalid(amount, "must be a whole number of devices"))
        elif "/" in str(name) and not _WHOLE.match(text):
            amounts.problem(str(name), invalid(amount, "must be a whole number"))
