"""A Job of one Pod, which it makes once: Kubernetes' own retries would run an attempt a second time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.kinds.template_kind import Fault, TemplateKind, not_exactly

# As of Kubernetes 1.37.
FIELDS = (
    *("activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode", "completions"),
    *("managedBy", "manualSelector", "maxFailedIndexes", "parallelism", "podFailurePolicy", "podReplacementPolicy"),
    *("scheduling", "selector", "successPolicy", "suspend", "template", "ttlSecondsAfterFinished"),
)


def _check(spec: Mapping[str, Any]) -> Iterator[Fault]:
    return not_exactly(spec, {"parallelism": 1, "completions": 1})


JOB = TemplateKind(
    name="Job",
    api_version="batch/v1",
    plural="jobs",
    pod_template=("spec", "template"),
    fields=FIELDS,
    fixed={"backoffLimit": 0},
    check=_check,
    end_conditions=("Complete", "Failed"),
)
