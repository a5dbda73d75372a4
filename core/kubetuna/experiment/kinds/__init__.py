"""The kinds of object that a trial's template may be, each with all that is special about it.

The parser, the CRD, the local runner and the operator ask these adapters and name no kind themselves. A kind that
is not among them is known by its shape, and by the conditions that a template gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubetuna.experiment.kinds.job import JOB
from kubetuna.experiment.kinds.pod import POD
from kubetuna.experiment.kinds.template_kind import TemplateKind
from kubetuna.experiment.kinds.workloads import WORKLOADS

KINDS: dict[str, TemplateKind] = {kind.name: kind for kind in (POD, JOB, *WORKLOADS)}


def kind_of(trial_spec: Mapping[str, Any]) -> TemplateKind:
    """The kind of a template that was parsed; one that is empty, as of another program's study, reads as a Pod."""
    if not trial_spec:
        return POD
    known, version = KINDS.get(str(trial_spec.get("kind"))), str(trial_spec.get("apiVersion"))
    if known is not None and (not known.judged or version == known.api_version):
        return known
    return TemplateKind(name=str(trial_spec.get("kind")), api_version=version, made_by=None, falls_with_one=False)
