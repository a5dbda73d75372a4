"""The CustomResourceDefinitions of kubetuna, from the shapes of its objects; ``make manifests`` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kubetuna.parsing.edits import editable_fields
from kubetuna.parsing.katib_hyperband import NAME as HYPERBAND
from kubetuna.parsing.openapi import openapi
from kubetuna.parsing.schema import Free, Node, Object, Text
from kubetuna.parsing.shape import NAME, with_algorithms
from kubetuna.parsing.status_shape import EXPERIMENT_COLUMNS, EXPERIMENT_STATUS, TRIAL_COLUMNS, TRIAL_STATUS, Column
from kubetuna.search.catalogue import PRUNER_ALIASES, PRUNERS, SAMPLER_ALIASES, SAMPLERS

_GROUP, _VERSION = "kubetuna.dev", "v1alpha1"
KATIB_VERSION = ("kubeflow.org", "v1beta1")


def definitions() -> tuple[dict[str, Any], ...]:
    """Every CRD of kubetuna."""
    return experiment_definition(), trial_definition()


def experiment_definition() -> dict[str, Any]:
    """The CRD of the Experiment."""
    edits = f"On a living or finished experiment {editable_fields()} may be changed; everything else may not."
    spec = with_algorithms((*SAMPLERS, *SAMPLER_ALIASES, HYPERBAND), (*PRUNERS, *PRUNER_ALIASES))
    spec = replace(spec, description=f"{spec.description} {edits}")
    about = "A search for the best parameters of a program that runs as one Pod per trial."
    schema = _schema(about, Object({"name": NAME}), {"spec": spec, "status": EXPERIMENT_STATUS})
    return _definition("Experiment", "kexp", schema, EXPERIMENT_COLUMNS, subresources={"status": {}})


def katib_definitions() -> tuple[dict[str, Any], ...]:
    """The CRDs of Katib's group for clusters without Katib: any spec, which the parser judges, and any status."""
    about = "Katib's {}, carried out by kubetuna."
    state = Column("Type", ".status.conditions[-1:].type"), Column("Status", ".status.conditions[-1:].status")
    columns = (*state, Column("Age", ".metadata.creationTimestamp", "date"))
    fields: dict[str, Node] = {"spec": Free("object", editable=True), "status": Free("object")}
    parts: dict[str, dict[str, Any]] = {"Experiment": {"subresources": {"status": {}}}, "Trial": {}}
    return tuple(
        _definition(kind, "", _schema(about.format(kind), Object({}), fields), columns, KATIB_VERSION, **more)
        for kind, more in parts.items()
    )


def trial_definition() -> dict[str, Any]:
    """The CRD of the Trial, which nobody edits."""
    about = "One set of parameters that an Experiment tried. Read-only; rebuilt from the study at will."
    return _definition("Trial", "ktrial", _schema(about, Object({}), {"status": TRIAL_STATUS}), TRIAL_COLUMNS)


def _schema(description: str, metadata: Object, fields: dict[str, Node]) -> dict[str, Any]:
    identity = {"apiVersion": Text(), "kind": Text(), "metadata": metadata}
    schema = openapi(Object({**identity, **fields}, description=description))
    if "spec" in fields:
        schema["properties"]["spec"] = openapi(fields["spec"], guarded=True)
    return schema


def _column(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "type": column.kind, "jsonPath": column.path}
    return (
        found
        | ({"description": column.description} if column.description else {})
        | ({"priority": 1} if column.wide else {})
    )


def _definition(
    kind: str,
    short: str,
    schema: dict[str, Any],
    columns: Sequence[Column],
    group: tuple[str, str] = (_GROUP, _VERSION),
    **more: Any,
) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    ours = {"shortNames": [short], "categories": ["kubetuna"]} if short else {}
    version = {
        "name": group[1],
        "served": True,
        "storage": True,
        **more,
        "additionalPrinterColumns": [_column(column) for column in columns],
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group[0]}"},
        "spec": {
            "group": group[0],
            "scope": "Namespaced",
            "names": names | ours,
            "versions": [version],
        },
    }
