"""Which Pods are an attempt's own: by namespace, owner, name, labels and parameters, all of them.

An annotation is copied along with a Pod, and anyone may write one; a copy must not speak for a trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from kubetuna.experiment.kinds.template_kind import TemplateKind
from kubetuna.trials.attempts import AttemptKey, attempt_name
from kubetuna_operator.kube.api_client import Api, collection
from kubetuna_operator.kube.objects import Owner, Unreadable, mapping, mappings, text
from kubetuna_operator.pods.status import PodView, view
from kubetuna_operator.workloads.manifest import attempt_labels


def is_own(pod: PodView, owner: Owner, kind: TemplateKind, params_hash: str | None = None) -> bool:
    """Whether a Pod is one that we, or the object that we made, have created for its attempt."""
    name = attempt_name(owner.name, pod.key)
    if kind.makes_pod:
        made = kind.makes(pod.owner_reference, name)
    else:
        made = pod.name == name and pod.owner_reference.get("uid") == owner.uid
    meant = (pod.namespace, pod.owner, pod.experiment) == (owner.namespace, owner.uid, owner.name)
    return made and meant and params_hash in (None, pod.params_hash)


def first(pods: Iterator[PodView]) -> dict[AttemptKey, PodView]:
    """One Pod for each attempt: what makes a Pod makes it once, so a later one is a copy."""
    found: dict[AttemptKey, PodView] = {}
    for pod in pods:
        other = found.get(pod.key)
        if other is None or age(pod) < age(other):
            found[pod.key] = pod
    return found


def age(pod: PodView) -> tuple[float, float, str]:
    """What sorts Pods by their creation."""
    latest = float("inf")
    return (
        latest if pod.created is None else pod.created,
        latest if pod.revision is None else pod.revision,
        pod.uid,
    )


def find_pods(
    api: Api, owner: Owner, kind: TemplateKind, key: AttemptKey, params_hash: str | None
) -> list[Mapping[str, Any]]:
    """An attempt's own Pods that nobody marked as told, as the API server knows them now: a watch may be behind."""
    selector = ",".join(f"{name}={value}" for name, value in attempt_labels(owner, key).items())
    found = api.get(collection("pods", owner.namespace), labelSelector=selector).get("items")
    return [pod for pod in mappings(found) if _is_open(pod, owner, kind, params_hash)]


def uid_of(obj: Mapping[str, Any]) -> str:
    """An object's UID; an empty one where it has none."""
    return text(mapping(obj.get("metadata")).get("uid"))


def _is_open(pod: Mapping[str, Any], owner: Owner, kind: TemplateKind, params_hash: str | None) -> bool:
    with suppress(Unreadable):
        seen = view(pod)
        return is_own(seen, owner, kind, params_hash) and not seen.told
    return False
