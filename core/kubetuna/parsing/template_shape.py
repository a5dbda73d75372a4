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
    _spec, first, *further = kind.pod_template
    known: Node = open_object({"metadata": _metadata({}), "spec": open_object(_POD)})
    for step in reversed(further):
        known = List(known, low=1, high=64) if isinstance(step, int) else open_object({step: known})
    return {**fixed, str(first): known}


_POD: dict[str, Node] = {"restartPolicy": _only_never(), "containers": _containers()}
TRIAL_SPEC = Object(
    {
        "apiVersion": Text(high=64, required=True),
        "kind": Text(words=KINDS, required=True),
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
    ),
    decided_by="kind",
    required=True,
    description="A whole Pod, or a Job with its Pod template; parameters come as environment variables and as "
    "${trialParameters.NAME}.",
)

_KATIBS = "Katib's; without effect for Pods and Jobs."
TEMPLATE = Object(
    {
        "primaryContainerName": Text(
            low=1,
            high=63,
            description="Whose log is read and whose end is the trial's. Needed with several containers.",
        ),
        "retain": Flag(
            description="Keep Pods once their trial is told (false: only those of the latest three failures)."
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
        "successCondition": Text(high=1024, description=_KATIBS),
        "failureCondition": Text(high=1024, description=_KATIBS),
        "primaryPodLabels": Object({}, values=Text(high=63), high=64, description=_KATIBS),
        "configMap": Forbidden(
            "not supported yet; write the template under trialSpec", description="Katib's; not supported yet."
        ),
        "trialSpec": TRIAL_SPEC,
    },
    required=True,
    description="The Pod (or Job) that runs one trial.",
)
