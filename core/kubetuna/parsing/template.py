"""``spec.trialTemplate``: the Pod that runs a trial, or what makes it, and the placeholders in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.field_errors import duplicate, forbidden, invalid, unsupported
from kubetuna.experiment.kinds import KINDS, kind_of
from kubetuna.experiment.kinds.gjson import GjsonError, parse_condition
from kubetuna.experiment.kinds.template_kind import PodSet, TemplateKind, as_text
from kubetuna.experiment.model import Template
from kubetuna.parsing.checking import below
from kubetuna.parsing.fields import Fields
from kubetuna.parsing.parameters import is_any_unnamed
from kubetuna.parsing.pod_fields import check_container, check_names, check_pod, check_train_job
from kubetuna.parsing.template_shape import NEEDS_CONDITIONS
from kubetuna.trials.substitution import PLACEHOLDER

META = re.compile(r"\$\{trialSpec\.(Name|Namespace|Kind|APIVersion|Labels\[[^\]]*\]|Annotations\[[^\]]*\])\}\Z")
# How the operator finds its Pods and knows what they run.
OWN_KEYS = "kubetuna.dev/"


def parse_template(spec: Fields, names: frozenset[str]) -> Template | None:
    """The template, for parameters of these names."""
    fields = spec.child("trialTemplate")
    trial = fields.child("trialSpec")
    if not trial.present:
        return None
    kind = _kind(fields, trial)
    if kind is None:
        return None
    if trial.text("apiVersion") not in (None, kind.api_version):
        trial.problem("apiVersion", invalid(trial.raw("apiVersion"), kind.version_rule))
    primary = _primary(fields, _pods(fields, trial, kind))
    substitutions = _substitutions(fields, names, is_any_unnamed(spec), trial.raw_all())
    return Template(
        kind=kind.name,
        trial_spec=trial.raw_all(),
        primary_container=primary,
        substitutions=substitutions,
        retain=fields.flag("retain"),
        success_condition=_condition(fields, "successCondition", kind),
        failure_condition=_condition(fields, "failureCondition", kind),
        primary_pod_labels=fields.child("primaryPodLabels").raw_all(),
    )


def _kind(fields: Fields, trial: Fields) -> TemplateKind | None:
    """The template's kind. Of an unknown one nobody can say what its fields should be: nothing is told of them."""
    if trial.text("kind") is None:
        return None
    kind = kind_of(trial.raw_all())
    if kind is not KINDS.get(kind.name) and not (
        fields.text("successCondition") and fields.text("failureCondition")
    ):
        faults = fields.faults
        faults.problems[:] = [p for p in faults.problems if not p.path.startswith(f"{trial.path}.")]
        trial.problem("kind", invalid(trial.raw("kind"), NEEDS_CONDITIONS))
        return None
    return kind


def _condition(fields: Fields, name: str, kind: TemplateKind) -> str | None:
    """A condition that can be read, where the kind is judged by such."""
    text = fields.text(name)
    try:
        parse_condition(text if text and kind.judged else "status")
    except GjsonError as error:
        fields.problem(name, invalid(text, str(error)))
        return None
    return text


def _check_keys(metadata: Fields) -> None:
    for field in ("labels", "annotations"):
        given = metadata.child(field)
        for key in map(str, given.raw_all()):
            if key.startswith(OWN_KEYS):
                given.problem(key, forbidden(f"what begins with {OWN_KEYS} is set by kubetuna itself"))


def _pods(fields: Fields, trial: Fields, kind: TemplateKind) -> Fields:
    """The primary Pod's spec, checked with those of all others and what is around them."""
    spec, raw = trial.child("spec"), trial.raw_all()
    _check_keys(trial.child("metadata"))
    if kind.fields:
        check_names(spec, kind.fields)
    for name, message in kind.faults(spec.raw_all()):
        spec.problem(name, message)
    if kind.node:
        return _of_runtime(trial, kind)
    primary = kind.primary_set(raw, fields.text("primaryContainerName") or "")
    if primary is None:
        return _no_pods(trial, kind)
    if not primary.count and kind.judged:
        trial.problem(as_text(primary.path), invalid(0, "has no Pod, and it is the one that is read"))
    return {one.path: _pod(trial, one) for one in kind.pod_sets(raw)}[primary.path]


def _of_runtime(trial: Fields, kind: TemplateKind) -> Fields:
    """A Pod's spec as far as it is known where a runtime of the cluster has the rest."""
    check_train_job(trial.child("spec"))
    (one,) = kind.pod_sets(trial.raw_all())
    return Fields(one.template["spec"], below(trial.path, as_text(one.path)), trial.faults)


def _no_pods(trial: Fields, kind: TemplateKind) -> Fields:
    if not kind.pod_template and kind.makes_pod:
        trial.problem("spec", invalid({}, "no Pod template is in it: nothing has a spec with containers"))
    pod = Fields({}, below(below(trial.path, as_text(kind.pod_template)), "spec"), trial.faults)
    if kind.pod_template:
        pod.need("containers")
    return pod


def _pod(trial: Fields, one: PodSet) -> Fields:
    template = Fields(one.template, below(trial.path, as_text(one.path)) if one.path else trial.path, trial.faults)
    if one.path:
        _check_keys(template.child("metadata"))
    pod = template.child("spec")
    check_pod(pod)
    _check_containers(pod)
    return pod


def _check_containers(pod: Fields) -> None:
    names = []
    for container in pod.objects("containers"):
        name = container.text("name")
        if name is not None and name in names:
            container.problem("name", duplicate(name))
        names.append(name)
        check_container(container)
    pod.need("containers")


def _primary(fields: Fields, pod: Fields) -> str:
    names = [container.text("name") or "" for container in pod.objects("containers")]
    wanted = fields.text("primaryContainerName")
    if wanted is None:
        if len(names) > 1:
            fields.need("primaryContainerName", f"with several containers: {', '.join(names)}")
        return names[0] if names else ""
    if names and wanted not in names:
        fields.problem("primaryContainerName", unsupported(wanted, names))
    return wanted


def _substitutions(
    fields: Fields, names: frozenset[str], unnamed: bool, trial: Mapping[str, Any]
) -> dict[str, str]:
    found_in = (match for text in leaves(trial) for match in PLACEHOLDER.finditer(text))
    used = {match["name"] for match in found_in if match["name"] is not None}
    if "trialParameters" not in fields:
        for name in () if unnamed else sorted(used - names):
            fields.problem("trialSpec", invalid(f"${{trialParameters.{name}}}", f"{name!r} is not a parameter"))
        return {name: name for name in used & names}
    found: dict[str, str] = {}
    for entry in fields.objects("trialParameters"):
        _substitution(entry, names, used, found)
    listed = {entry.text("name") for entry in fields.objects("trialParameters")}
    for name in sorted(used - listed):
        fields.problem("trialSpec", invalid(f"${{trialParameters.{name}}}", "is not among trialParameters"))
    return found


def _substitution(entry: Fields, names: frozenset[str], used: set[str], found: dict[str, str]) -> None:
    name, reference = entry.text("name"), entry.text("reference")
    if name is None or reference is None:
        return
    if reference in found.values():
        entry.problem("reference", duplicate(reference))
    elif reference not in names and not META.match(reference):
        entry.problem("reference", unsupported(reference, sorted(names)))
    elif name not in used:
        entry.problem("name", invalid(name, f"${{trialParameters.{name}}} is nowhere in the template"))
    found[name] = reference


def leaves(value: Any) -> Iterator[str]:
    """Every text in a tree of objects and lists."""
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, Mapping):
            stack.extend(current.values())
        elif isinstance(current, list):
            stack.extend(current)
