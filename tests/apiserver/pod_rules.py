"""What the API server adds to a Pod, what of it may be changed, and how long its end may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.apiserver.failures import Failure, invalid
from tests.apiserver.resources import PODS, Object

GRACE_SECONDS = 30
ENDED = ("Succeeded", "Failed")


def complete(pod: Object) -> Object:
    """A new Pod with its defaults, and the status with which it begins.

    Raises:
        Failure: 422, it cannot be.
    """
    spec = pod.get("spec") or {}
    if not spec.get("containers"):
        raise invalid(PODS, pod["metadata"]["name"], "spec.containers", "Required value")
    defaults = {"restartPolicy": "Always", "terminationGracePeriodSeconds": GRACE_SECONDS}
    return {**pod, "spec": {**defaults, **spec}, "status": {"phase": "Pending", "qosClass": "BestEffort"}}


def check_update(before: Object, after: Object) -> None:
    """Refuse what may not change of a Pod.

    Raises:
        Failure: 422, the field is fixed.
    """
    name = before["metadata"]["name"]
    old, new = dict(before["spec"]), dict(after["spec"])
    had, has = old.pop("activeDeadlineSeconds", None), new.pop("activeDeadlineSeconds", None)
    if old != new:
        raise invalid(PODS, name, "spec", "Forbidden: pod updates may not change fields other than "
                      "`spec.activeDeadlineSeconds` and those of images and tolerations")  # fmt: skip
    if had != has:
        _check_deadline(name, had, has)


def _check_deadline(name: str, had: int | None, has: int | None) -> None:
    field = "spec.activeDeadlineSeconds"
    if has is None:
        raise invalid(
            PODS, name, field, "Invalid value: null: must not update from a positive integer to nil value"
        )
    if has < 1:
        raise invalid(PODS, name, field, f"Invalid value: {has}: must be between 1 and 2147483647, inclusive")
    if had is not None and has > had:
        raise invalid(
            PODS, name, field, f"Invalid value: {has}: must be less than or equal to previous value {had}"
        )


def grace(pod: Object, options: Mapping[str, Any]) -> int:
    """Seconds that the kubelet gives it; none where there is no kubelet to wait for."""
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in ENDED:
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)


def quota_refusal(name: str, quota: Object, pods: list[Object]) -> Failure | None:
    """The refusal of one more Pod where a quota on their number is used up."""
    hard = ((quota.get("spec") or {}).get("hard") or {}).get("pods")
    used = sum(pod["status"].get("phase") not in ENDED for pod in pods)
    if hard is None or used < int(hard):
        return None
    why = f"exceeded quota: {quota['metadata']['name']}, requested: pods=1, used: pods={used}, limited: pods={hard}"
    return Failure(403, "Forbidden", f'pods "{name}" is forbidden: {why}', name=name, kind="pods")
