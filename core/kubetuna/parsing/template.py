"""``spec.trialTemplate``: the Pod that runs a trial, or what makes it, and the placeholders in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.field_errors import duplicate, forbidden, invalid, unsupported
from kubetuna.experiment.kinds import KINDS
from kubetuna.experiment.kinds.template_kind import TemplateKind
from kubetuna.experiment.model import Template
from kubetuna.parsing.checking import below
from kubetuna.parsing.fields import Fields
from kubetuna.parsing.pod_fields import check_container, check_names, check_pod
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
    kind = KINDS.get(trial.text("kind") or "")
    if kind is None:
        return None
    if trial.text("apiVersion") not in (None, kind.api_version):
        trial.problem("apiVersion", invalid(trial.raw("apiVersion"), kind.version_rule))
    pod = _pod(trial, kind)
    primary = _primary(fields, pod)
    substitutions = _substitutions(fields, names, trial.raw_all())
    return Template(
        kind=kind.name,
        trial_spec=trial.raw_all(),
        primary_container=primary,
        substitutions=substitutions,
        retain=fields.flag("retain"),
        success_condition=fields.text("successCondition"),
        failure_condition=fields.text("failureCondition"),
        primary_pod_labels=fields.child("primaryPodLabels").raw_all(),
    )


def _check_keys(metadata: Fields) -> None:
    for field in ("labels", "annotations"):
        given = metadata.child(field)
        for key in map(str, given.raw_all()):
            if key.startswith(OWN_KEYS):
                given.problem(key, forbidden(f"what begins with {OWN_KEYS} is set by kubetuna itself"))


def _pod(trial: Fields, kind: TemplateKind) -> Fields:
    """The Pod's spec, checked with what is around it."""
    spec, template = trial.child("spec"), trial
    if kind.makes_pod:
        path = below(trial.path, kind.pod_template_path)
        template = Fields(kind.template_in(trial.raw_all()), path, trial.faults)
        _check_keys(template.child("metadata"))
        check_names(spec, kind.fields)
    _check_keys(trial.child("metadata"))
    for name, message in kind.faults(spec.raw_all()):
        spec.problem(name, message)
    pod = template.child("spec")
    check_pod(pod)
    return pod


def _primary(fields: Fields, pod: Fields) -> str:
    names = []
    for container in pod.objects("containers"):
        name = container.text("name")
        if name is not None and name in names:
            container.problem("name", duplicate(name))
        names.append(name or "")
        check_container(container)
    pod.need("containers")
    wanted = fields.text("primaryContainerName")
    if wanted is None:
        if len(names) > 1:
            fields.need("primaryContainerName", f"with several containers: {', '.join(names)}")
        return names[0] if names else ""
    if names and wanted not in names:
        fields.problem("primaryContainerName", unsupported(wanted, names))
    return wanted


def _substitutions(fields: Fields, names: frozenset[str], trial: Mapping[str, Any]) -> dict[str, str]:
    found_in = (match for text in leaves(trial) for match in PLACEHOLDER.finditer(text))
    used = {match["name"] for match in found_in if match["name"] is not None}
    if "trialParameters" not in fields:
        for name in sorted(used - names):
            fields.problem("trialSpec", invalid(f"${{trialParameters.{name}}}", f"{name!r} is no parameter"))
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
