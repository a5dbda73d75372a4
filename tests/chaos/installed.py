"""Operators that are installed in the cluster: they would carry out a campaign's experiments beside its own ones.

They have another database, so each trial would be run twice, under the same names. `make cluster` installs one.
"""

from __future__ import annotations

from kubetuna_operator.kube.api_client import collection
from tests.cluster.operators import World

SELECTOR = "app.kubernetes.io/name=kubetuna,app.kubernetes.io/component=operator"


class InstalledOperators:
    """Those that run, by their Deployments. In a cluster of our own they stand still during a campaign."""

    def __init__(self, world: World) -> None:
        """Stop them.

        Raises:
            SystemExit: there is one, in a cluster that is not ours.
        """
        self._world, self._replicas = world, dict[str, int]()
        for found in world.api.get("/apis/apps/v1/deployments", labelSelector=SELECTOR)["items"]:
            self._note(found["metadata"]["namespace"], found["metadata"]["name"], found["spec"]["replicas"])
        for path in self._replicas:
            self._scale(path, 0)
        if self._replicas:
            world.until("the end of the installed operators", self._have_ended)

    def _note(self, namespace: str, name: str, replicas: int) -> None:
        if not replicas:
            return
        if not self._world.cluster.ours:
            raise SystemExit(
                f"the operator {namespace}/{name} would work beside the campaign's own: scale it to 0 first, "
                f"with `kubectl -n {namespace} scale deployment {name} --replicas 0`"
            )
        self._replicas[f"{collection('apps/v1/deployments', namespace)}/{name}"] = replicas

    def _scale(self, path: str, replicas: int) -> None:
        self._world.api.merge(path, {"spec": {"replicas": replicas}})

    def _have_ended(self) -> bool:
        return not self._world.api.get(collection("pods", None), labelSelector=SELECTOR)["items"]

    def go_on(self) -> None:
        """Let them run as before."""
        for path, replicas in self._replicas.items():
            self._scale(path, replicas)
