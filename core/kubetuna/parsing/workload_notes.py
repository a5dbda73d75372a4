"""What a person should know of a template's workload before it runs: which Pod is read, when it counts as ended."""

from __future__ import annotations

from collections.abc import Iterator

from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.kinds.gjson import parse_condition
from kubetuna.experiment.kinds.template_kind import TOKEN, TemplateKind, as_text
from kubetuna.experiment.model import Template

_BY_ITS_POD = "a trial is judged by its Pod"


def workload_notes(template: Template) -> Iterator[str]:
    """A sentence each."""
    kind = kind_of(template.trial_spec)
    given = {
        "primaryPodLabels": template.primary_pod_labels,
        "successCondition": template.success_condition,
        "failureCondition": template.failure_condition,
    }
    if not kind.judged:
        pods = kind.pods(template.trial_spec)
        ignored = (n for n, value in given.items() if value and (n != "primaryPodLabels" or pods == 1))
        yield from (f"spec.trialTemplate.{name} has no effect: {_BY_ITS_POD}" for name in ignored)
    else:
        for name in ("successCondition", "failureCondition"):
            yield from _of_condition(f"spec.trialTemplate.{name}", str(given[name] or ""), kind)
    if kind.node:
        yield (
            f"what a {kind.name}'s Pods are beside trialSpec.{as_text(kind.node)} is its runtime's, retries too, "
            "which should be none; GPU-hours count what resourcesPerNode asks for"
        )
    for path in kind.misnamed(template.trial_spec):
        yield f"trialSpec.{path} has no container named {kind.container!r}: a {kind.name}'s controller refuses that"
    for path in kind.tokenless(template.trial_spec):
        yield (
            f"trialSpec.{path} does not set {TOKEN}: true; a trial gets no token otherwise, and without it this "
            "Pod cannot start the others"
        )
    yield from kind.overwritten(template.trial_spec.get("spec") or {})


def _of_condition(name: str, text: str, kind: TemplateKind) -> Iterator[str]:
    if not text:
        return
    condition = parse_condition(text)
    if not condition.field.startswith("status"):
        field = condition.field or "no field"
        yield f"{name} reads {field}, which does not change as a trial runs: it may never hold"
        return
    for word in condition.words:
        if kind.conditions and word not in kind.conditions:
            known = ", ".join(kind.conditions)
            yield f"{name} reads {condition.field} for {word!r}, which a {kind.name} never has; it has {known}"
    if not kind.conditions:
        yield f"{name} reads {condition.field}; the trial goes on until it finds something there"
