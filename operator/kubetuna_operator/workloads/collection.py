"""Where a kind's objects are created, and in words why they cannot be: no CRD, no rights.

The name of a collection is part of the kinds that are built in; of any other the API server is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubetuna.experiment.kinds.template_kind import TemplateKind
from kubetuna_operator.kube.api_client import Api, Refused
from kubetuna_operator.kube.objects import mappings, text

CHART_VALUE = "workloads"


class Collection:
    """The collection of one kind in one namespace."""

    def __init__(self, api: Api, kind: TemplateKind, namespace: str) -> None:
        self._api, self._kind, self._namespace = api, kind, namespace
        self._plural = kind.plural

    def path(self) -> str:
        """Its path.

        Raises:
            Refused: the cluster has no such kind.
            Unreachable: it could not be asked.
        """
        if not self._plural:
            self._plural = self._asked()
        return self._kind.collection(self._namespace, self._plural)

    def create(self, api: Api, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object. What its Pods are found by must not be dropped by a CRD that does not know it."""
        query: dict[str, Any] = {"fieldValidation": "Strict"} if self._kind.node else {}
        return api.create(self.path(), body, **query)

    def _asked(self) -> str:
        found = mappings(self._api.get(f"/apis/{self._kind.api_version}").get("resources"))
        own = (text(r.get("name")) for r in found if r.get("kind") == self._kind.name)
        plural = next((name for name in own if name and "/" not in name), None)
        if plural is None:
            raise Refused(404, "NotFound", self._no_crd())
        return plural

    def _no_crd(self) -> str:
        return f"no CRD for kind {self._kind.name} ({self._kind.api_version}) is installed in the cluster"

    def explained(self, error: Refused) -> str:
        """A refusal of an object of this kind, with what to do about it."""
        if error.code == 404 and "could not find the requested resource" in error.message:
            return self._no_crd()
        if error.code == 403 and "cannot " in error.message and self._kind.judged:
            group = self._kind.api_version.partition("/")[0]
            name = self._plural if self._kind.conditions or not self._plural else f"{self._plural}.{group}"
            value = f"helm upgrade --reuse-values --set '{CHART_VALUE}={{{name}}}'"
            return f"the operator has no rights for {name}: {value}; {error.message}"
        return error.message
