"""What a Pod template's own fields may hold, as far as a mistake in them could only fail or be ignored later.

The names are those of Kubernetes 1.37; a name beyond them is refused only where it looks like a slip of a known
one, so that a newer cluster's fields still reach it.
"""

from __future__ import annotations

import difflib
import re

from kubetuna.parsing.fields import Fields, shown

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
JOB = [
    "activeDeadlineSeconds",
    "backoffLimit",
    "backoffLimitPerIndex",
    "completionMode",
    "completions",
    "managedBy",
    "manualSelector",
    "maxFailedIndexes",
    "parallelism",
    "podFailurePolicy",
    "podReplacementPolicy",
    "scheduling",
    "selector",
    "successPolicy",
    "suspend",
    "template",
    "ttlSecondsAfterFinished",
]

_QUANTITY = re.compile(r"\d+(\.\d*)?([eE][-+]?\d+|[numkMGTPE]|[KMGTPE]i)?\Z", re.ASCII)
_NEAR = 0.75


def check_names(fields: Fields, known: list[str]) -> None:
    """Refuse a name that is a slip of a known one."""
    for name in fields.raw_all():
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=_NEAR) if name not in known else []
        if near:
            fields.problem(str(name), f"this field is not known; did you mean {near[0]!r}?")


def check_pod(pod: Fields) -> None:
    """Refuse what is wrong in a Pod's spec beside its containers."""
    check_names(pod, POD)
    grace = pod.raw("terminationGracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int) or grace < 0):
        pod.problem("terminationGracePeriodSeconds", f"{shown(grace)} must be an integer of at least 0")


def check_job(spec: Fields) -> None:
    """Refuse what makes a Job more than one Pod, run once."""
    check_names(spec, JOB)
    for field in ("parallelism", "completions"):
        if spec.raw(field) not in (None, 1):
            spec.problem(field, f"{shown(spec.raw(field))} is not allowed; allowed: 1 (a trial is one Pod)")
    if spec.raw("backoffLimit") not in (None, 0):
        spec.problem(
            "backoffLimit", f"{shown(spec.raw('backoffLimit'))} is not allowed; allowed: 0 (use retryPolicy)"
        )


def check_container(container: Fields) -> None:
    """Refuse what is wrong in one container."""
    check_names(container, CONTAINER)
    for field in ("command", "args"):
        for index, item, _path in container.items(field):
            if not isinstance(item, str):
                container.problem(f"{field}[{index}]", f"{shown(item)} must be text; quote it")
    for _index, item, path in container.items("env"):
        _check_variable(Fields(item, path, container.problems))
    _check_resources(container.child("resources"))


def _check_variable(entry: Fields) -> None:
    if not entry.present:
        return
    if entry.text("name") is None and "name" not in entry:
        entry.problem("name", "is needed")
    value = entry.raw("value")
    if value is not None and not isinstance(value, str):
        entry.problem("value", f"{shown(value)} must be text; quote it")


def _check_resources(resources: Fields) -> None:
    for field in ("requests", "limits"):
        amounts = resources.child(field)
        for name, amount in amounts.raw_all().items():
            text = str(amount)
            if isinstance(amount, bool) or not isinstance(amount, int | float | str) or not _QUANTITY.match(text):
                amounts.problem(str(name), f"{shown(amount)} is no quantity, such as 2, 500m or 4Gi")
            elif "/" in str(name) and not text.isdigit():
                amounts.problem(str(name), f"{shown(amount)} must be a whole number of devices")
