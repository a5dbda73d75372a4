"""``spec.trialTemplate``: the Pod or Job that runs a trial, and the placeholders in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.model import Template
from kubetuna.parsing.fields import Fields, shown
from kubetuna.parsing.pod_fields import check_container, check_job, check_pod

PLACEHOLDER = re.compile(r"\$\{trialParameters\.([^}]*)\}")
META = re.compile(r"\$\{trialSpec\.(Name|Namespace|Kind|APIVersion|Labels\[[^\]]*\]|Annotations\[[^\]]*\])\}\Z")
KINDS = {"Pod": ("v1",), "Job": ("batch/v1",)}
# How the operator finds its Pods and knows what they run.
OWN_KEYS = "kubetuna.dev/"
FIELDS = (
    "retain",
    "trialSpec",
    "configMap",
    "trialParameters",
    "primaryPodLabels",
    "primaryContainerName",
    "successCondition",
    "failureCondition",
)


def parse_template(spec: Fields, names: frozenset[str]) -> Template | None:
    """The template, for parameters of these names."""
    if "trialTemplate" not in spec:
        spec.problem("trialTemplate", "must be specified, with a trialSpec of kind Pod or Job")
        return None
    fields = spec.child("trialTemplate")
    fields.known(FIELDS)
    if "configMap" in fields:
        fields.problem("configMap", "is not supported yet; write the template under trialSpec")
    if "trialSpec" not in fields:
        if "configMap" not in fields:
            fields.problem("trialSpec", "is needed: a Pod or a Job")
        return None
    trial = fields.child("trialSpec")
    if not trial.present:
        return None
    kind = _kind(trial)
    pod = _pod(trial, kind)
    primary = _primary(fields, pod)
    substitutions = _substitutions(fields, names, trial.raw_all())
    if kind is None:
        return None
    return Template(
        kind=kind,
        trial_spec=trial.raw_all(),
        primary_container=primary,
        substitutions=substitutions,
        retain=fields.flag("retain"),
        success_condition=fields.text("successCondition"),
        failure_condition=fields.text("failureCondition"),
        primary_pod_labels=_labels(fields),
    )


def _labels(fields: Fields) -> dict[str, str]:
    labels = fields.child("primaryPodLabels").raw_all()
    return {str(k): str(v) for k, v in labels.items()}


def _kind(trial: Fields) -> str | None:
    kind, version = trial.raw("kind"), trial.raw("apiVersion")
    if kind not in KINDS:
        trial.problem("kind", f"{shown(kind)} is not supported; allowed: Pod (v1), Job (batch/v1)")
        return None
    if version not in KINDS[kind]:
        trial.problem("apiVersion", f"{shown(version)} is wrong for kind {kind}; allowed: {KINDS[kind][0]}")
    metadata = trial.child("metadata")
    for field in ("name", "namespace", "generateName"):
        if field in metadata:
            metadata.problem(field, "must be left out: every attempt gets its own")
    _check_keys(metadata)
    return str(kind)


def _check_keys(metadata: Fields) -> None:
    for field in ("labels", "annotations"):
        given = metadata.child(field)
        for key in map(str, given.raw_all()):
            if key.startswith(OWN_KEYS):
                given.problem(key, f"must be left out: what begins with {OWN_KEYS} is set by kubetuna itself")


def _pod(trial: Fields, kind: str | None) -> Fields:
    spec = trial.child("spec")
    if "spec" not in trial:
        trial.problem("spec", "is needed")
    pod = spec
    if kind == "Job":
        template = spec.child("template")
        _check_keys(template.child("metadata"))
        pod = template.child("spec")
    policy = pod.raw("restartPolicy")
    if policy not in (None, "Never"):
        pod.problem(
            "restartPolicy", f"{shown(policy)} is not allowed; allowed: Never (retryPolicy makes new attempts)"
        )
    if kind == "Job":
        check_job(spec)
    check_pod(pod)
    return pod


def _primary(fields: Fields, pod: Fields) -> str:
    names = []
    for index, item, path in pod.items("containers"):
        container = Fields(item, path, pod.problems)
        name = container.text("name")
        if name is None and "name" not in container:
            container.problem("name", "is needed")
        elif name in names:
            container.problem("name", f"{name!r} is there twice")
        names.append(name or f"#{index}")
        check_container(container)
    if not names:
        pod.problem("containers", "at least one container is needed")
        return ""
    wanted = fields.text("primaryContainerName")
    if wanted is None:
        if len(names) > 1:
            fields.problem("primaryContainerName", f"is needed with several containers: {', '.join(names)}")
        return names[0]
    if wanted not in names:
        fields.problem("primaryContainerName", f"{wanted!r} is no container of the template: {', '.join(names)}")
    return wanted


def _substitutions(fields: Fields, names: frozenset[str], trial: Mapping[str, Any]) -> dict[str, str]:
    used = {name for text in leaves(trial) for name in PLACEHOLDER.findall(text)}
    if "trialParameters" not in fields:
        for name in sorted(used - names):
            fields.problem(
                "trialSpec", f"${{trialParameters.{name}}} names no parameter: {', '.join(sorted(names))}"
            )
        return {name: name for name in used & names}
    found: dict[str, str] = {}
    for _index, item, path in fields.items("trialParameters"):
        entry = Fields(item, path, fields.problems)
        _substitution(entry, names, used, found)
    for name in sorted(used - set(found)):
        fields.problem("trialSpec", f"${{trialParameters.{name}}} is not among trialParameters")
    return found


def _substitution(entry: Fields, names: frozenset[str], used: set[str], found: dict[str, str]) -> None:
    entry.known(("name", "description", "reference"))
    name, reference = entry.text("name"), entry.text("reference")
    for field in ("name", "reference"):
        if field not in entry:
            entry.problem(field, "is needed")
    if name is None or reference is None:
        return
    if "{" in name or "}" in name:
        entry.problem("name", f"{shown(name)} must not hold braces")
    elif name in found:
        entry.problem("", f"{name!r} is there twice")
    elif reference in found.values():
        entry.problem("reference", f"{reference!r} is there twice")
    elif reference not in names and not META.match(reference):
        entry.problem("reference", f"{reference!r} is no parameter: {', '.join(sorted(names))}")
    elif name not in used:
        entry.problem("name", f"${{trialParameters.{name}}} is nowhere in the template")
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
