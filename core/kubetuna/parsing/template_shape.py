"""The shape of ``spec.trialTemplate``: ours, and as much of a Pod and a Job as must be known here."""

from __future__ import annotations

from collections.abc import Mapping

from kubetuna.parsing.schema import Flag, Forbidden, Free, Integer, List, Node, Object, Rule, Text, open_object

VERSIONS = {"Pod": "v1", "Job": "batch/v1"}


def of_version(kind: str) -> str:
    """What to say of a template whose kind is of another version."""
    return f"must be {VERSIONS[kind]} for kind {kind}"


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


_POD = {"restartPolicy": _only_never(), "containers": _containers()}
TRIAL_SPEC = Object(
    {
        "apiVersion": Text(high=64, required=True),
        "kind": Text(words=tuple(VERSIONS), required=True),
        "metadata": _metadata(
            {field: Forbidden(_ATTEMPTS_OWN, kind="string") for field in ("name", "namespace", "generateName")}
        ),
        "spec": open_object(
            {
                **_POD,
                "backoffLimit": Integer(low=0, high=0),
                "template": open_object({"metadata": _metadata({}), "spec": open_object(_POD)}),
            },
            required=True,
        ),
    },
    values=Free(),
    rules=tuple(
        Rule("apiVersion", of_version(kind), f"self.kind != '{kind}' || self.apiVersion == '{version}'")
        for kind, version in VERSIONS.items()
    ),
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
