"""The kinds of object that a trial's template may be, each with all that is special about it: one module per kind.

The parser, the CRD, the local runner and the operator ask these adapters and name no kind themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubetuna.experiment.kinds.job import JOB
from kubetuna.experiment.kinds.pod import POD
from kubetuna.experiment.kinds.template_kind import TemplateKind

KINDS: dict[str, TemplateKind] = {
    POD.name: POD,
    JOB.name: JOB,
}


def kind_of(trial_spec: Mapping[str, Any]) -> TemplateKind:
    """The kind of a template that was parsed; one that is empty, as of another program's study, reads as a Pod."""
    return KINDS[trial_spec["kind"]] if trial_spec else POD
