"""The shape of ``spec.trialTemplate``: ours, and as much of each kind of template as must be known here."""

from __future__ import annotations

from collections.abc import Mapping

from kubetuna.experiment.kinds import KINDS
from kubetuna.experiment.kinds.template_kind import TemplateKind
from kubetuna.parsing.schema import Flag, Forbidden, Free, Integer, List, Node, Object, Rule, Text, open_object


def _only_never() -> Text:
    return Text(words=("Never",))


def _containers() -> List:
    container = {
        "name": Text(low=1, high=63, required=True),
        "command": List(Text(), high=1024),
        "args": List(Text(), high=1024),
    }
    return List(open_object(container), low=1, high=64)


_ATTEMPTS_OWN = "must be left out: every attempt gets its own"


def _metadata(own: Mapping[str, Node]) -> Object:
    return open_object({**own, "labels": open_object({}), "annotations": open_object({})})


def _spec_fields(kind: TemplateKind) -> dict[str, Node]:
    """What is known of a kind's spec: the numbers that it fixes, and its Pod's template."""
    fixed: dict[str, Node] = {name: Integer(low=number, high=number) for name, number in kind.fixed.items()}
    if not kind.makes_pod:
        return {**_POD, **fixed}
    if not kind.pod_template:
        return {}
    _spec, first, *further = kind.pod_template
    known: Node = open_object({"metadata": _metadata({}), "spec": open_object(_POD)})
    for step in reversed(further):
        known = List(known, low=1, high=64) if isinstance(step, int) else open_object({step: known})
    return {**fixed, str(first): known}


_POD: dict[str, Node] = {"restartPolicy": _only_never(), "containers": _containers()}
TRIAL_SPEC = Object(
    {
        "apiVersion": Text(high=64, required=True),
        "kind": Text(low=1, high=63, pattern="^[A-Z][A-Za-z0-9]*$", says="letters and digits", required=True),
        "metadata": _metadata(
            {field: Forbidden(_ATTEMPTS_OWN, kind="string") for field in ("name", "namespace", "generateName")}
        ),
        "spec": open_object(
            {name: node for kind in KINDS.values() for name, node in _spec_fields(kind).items()}, required=True
        ),
    },
    values=Free(),
    rules=tuple(
        Rule("apiVersion", kind.version_rule, f"self.kind != '{name}' || self.apiVersion == '{kind.api_version}'")
        for name, kind in KINDS.items()
        if not kind.judged
    ),
    decided_by="kind",
    required=True,
    description="A whole Pod, or a Job, a JobSet, a PyTorchJob or another kind with its Pod templates; parameters "
    "come as environment variables and as ${trialParameters.NAME}.",
)

_BUILT_IN = [f"{kind.name} ({kind.api_version})" for kind in KINDS.values()]
NEEDS_CONDITIONS = (
    f"needs successCondition and failureCondition beside it, which say when it has ended: it is none of "
    f"{', '.join(_BUILT_IN)}"
)
# Pods and Jobs of another version have a rule of their own.
_BY_NAME = [kind.name for kind in KINDS.values() if not kind.judged]
_CONDITION = (
    "GJSON, as in Katib: the trial's object has {} once this finds something. Without effect for Pods and Jobs."
)
TEMPLATE = Object(
    {
        "primaryContainerName": Text(
            low=1,
            high=63,
            description="Whose log is read and whose end is the trial's. Needed with several containers.",
        ),
        "retain": Flag(
            description="Keep Pods once their trial has ended (false: only those of the latest three failures)."
        ),
        "trialParameters": List(
            Object(
                {
                    "name": Text(low=1, high=128, pattern="^[^{}]+$", says="no braces", required=True),
                    "description": Text(high=1024),
                    "reference": Text(low=1, high=256, required=True),
                }
            ),
            high=200,
            key="name",
            description="Names for ${trialParameters.NAME} in the template; optional, since parameters have their "
            "own names.",
        ),
        "successCondition": Text(high=1024, description=_CONDITION.format("succeeded")),
        "failureCondition": Text(high=1024, description=_CONDITION.format("failed")),
        "primaryPodLabels": Object(
            {},
            values=Text(high=63),
            high=64,
            description="Labels of the one Pod that is read, where a trial has several.",
        ),
        "configMap": Forbidden(
            "is read for kubeflow.org/v1beta1 only, and without a trialSpec; write the template under trialSpec",
            description="Katib's; refused here.",
        ),
        "trialSpec": TRIAL_SPEC,
    },
    rules=(
        Rule(
            "trialSpec.kind",
            NEEDS_CONDITIONS,
            f"!has(self.trialSpec) || !has(self.trialSpec.kind) || !has(self.trialSpec.apiVersion) || "
            f"self.trialSpec.kind in {_BY_NAME} || "
            f"self.trialSpec.kind + ' (' + self.trialSpec.apiVersion + ')' in {_BUILT_IN} || "
            "(has(self.successCondition) && self.successCondition != '' && has(self.failureCondition) && "
            "self.failureCondition != '')",
        ),
    ),
    required=True,
    description="The Pod, or the object that makes it, that runs one trial.",
)
