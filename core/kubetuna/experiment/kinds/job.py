"""A Job, which makes each of its Pods once: Kubernetes' own retries would run an attempt a second time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.field_errors import invalid
from kubetuna.experiment.kinds.template_kind import Fault, TemplateKind, is_true

# As of Kubernetes 1.37.
FIELDS = (
    *("activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode", "completions"),
    *("managedBy", "manualSelector", "maxFailedIndexes", "parallelism", "podFailurePolicy", "podReplacementPolicy"),
    *("scheduling", "selector", "successPolicy", "suspend", "template", "ttlSecondsAfterFinished"),
)


def _check(spec: Mapping[str, Any]) -> Iterator[Fault]:
    limit = spec.get("activeDeadlineSeconds")
    if limit is not None and (type(limit) is not int or limit <= 0):
        yield "activeDeadlineSeconds", invalid(limit, "must be whole seconds above 0; it counts as a trialTimeout")
    for name in ("parallelism", "completions"):
        if spec.get(name) == 0:
            yield name, invalid(0, "must be above 0: a trial has a Pod")


JOB = TemplateKind(
    name="Job",
    api_version="batch/v1",
    plural="jobs",
    pod_template=("spec", "template"),
    fields=FIELDS,
    fixed={"backoffLimit": 0},
    check=_check,
    success=is_true("Complete"),
    failure=is_true("Failed"),
    dropped=("activeDeadlineSeconds", "ttlSecondsAfterFinished"),
    deadline="activeDeadlineSeconds",
)
