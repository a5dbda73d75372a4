"""How many accelerators the claims of a template give each trial, by the ResourceClaimTemplates of its namespace.

What a claim gives stands in another object, which only the cluster has. It is read as an experiment is opened, and
kept with its study: whoever reads that counts alike, and so does an operator that may not read it later.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import claim_templates, claimed_by
from kubetuna.store.reader import study_attributes
from kubetuna.trials.records import RESOURCE
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.kube.api_client import Api, Refused, Unreachable

VERSIONS = ("v1", "v1beta2", "v1beta1")
COUNTED_AS_ONE = (
    "a ResourceClaimTemplate cannot be read, so each claim counts as one accelerator; let the operator get "
    "resourceclaimtemplates in this namespace, or set budget.acceleratorsPerTrial: {}"
)


def with_claims(context: OperatorContext, ref: ExperimentRef, spec: Experiment, study: str) -> Experiment:
    """The experiment with what its claims give; where the cluster does not say, what its study has, or an Event."""
    names = claim_templates(spec)
    if not names or spec.budget.accelerators is not None:
        return spec
    try:
        given = [claimed_by(_read(context.api, ref.owner.namespace, name)) for name in names]
    except (Refused, Unreachable) as error:
        kept = (study_attributes(context.store.database, study) or {}).get(RESOURCE)
        if kept is None:
            words = getattr(error, "public", str(error))
            context.events.emit(ref.owner, "ClaimNotRead", COUNTED_AS_ONE.format(words), warning=True)
        return replace(spec, claimed=kept if isinstance(kept, int) else None)
    return replace(spec, claimed=sum(given))


def _read(api: Api, namespace: str, name: str) -> Mapping[str, Any]:
    """A template in the newest version of its API that the server has."""
    path = "/apis/resource.k8s.io/{}/namespaces/{}/resourceclaimtemplates/{}"
    *newer, oldest = (path.format(version, namespace, name) for version in VERSIONS)
    for one in newer:
        with suppress(Unreachable):
            try:
                return api.get(one)
            except Refused as error:
                if error.code != 404:
                    raise
    return api.get(oldest)
