"""A Job of one Pod, which it makes once: Kubernetes' own retries would run an attempt a second time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.field_errors import invalid
from kubetuna.experiment.kinds.template_kind import Fault, TemplateKind, not_exactly

# As of Kubernetes 1.37.
FIELDS = (
    *("activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode", "completions"),
    *("managedBy", "manualSelector", "maxFailedIndexes", "parallelism", "podFailurePolicy", "podReplacementPolicy"),
    *("scheduling", "selector", "successPolicy", "suspend", "template", "ttlSecondsAfterFinished"),
)


def _check(spec: Mapping[str, Any]) -> Iterator[Fault]:
    yield from not_exactly(spec, {"parallelism": 1, "completions": 1})
    limit = spec.get("activeDeadlineSeconds")
    if limit is not None and (type(limit) is not int or limit <= 0):
        yield "activeDeadlineSeconds", invalid(limit, "must be whole seconds above 0; it counts as a trialTimeout")


JOB = TemplateKind(
    name="Job",
    api_version="batch/v1",
    plural="jobs",
    pod_template=("spec", "template"),
    fields=FIELDS,
    fixed={"backoffLimit": 0},
    check=_check,
    end_conditions=("Complete", "Failed"),
    dropped=("activeDeadlineSeconds", "ttlSecondsAfterFinished"),
    deadline="activeDeadlineSeconds",
)
