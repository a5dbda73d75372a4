"""What others have in the namespace under names that attempts will have: nothing of theirs may be touched."""

from __future__ import annotations

from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.resources import BY_KIND, NAMESPACES, PODS, Object, Target
from tests.sim.administration import Deed

# Their Pods are on a machine that is gone, so that they stay; their workloads have failed, as some controller says.
AWAY = "node-3"
FAILED = {"phase": "Failed", "conditions": [{"type": "Failed", "status": "True"}]}


class Strangers:
    """``robbed``: names of what is gone though its owner did not delete it."""

    def __init__(self, cluster: Cluster) -> None:
        self._server = cluster.server
        self.robbed: list[str] = []

    def namesake(self, name: str, wanted: Object) -> Deed:
        """An object of this name, of the kind of a ``trialSpec``, and its end."""
        resource = BY_KIND[wanted["apiVersion"], wanted["kind"]]
        pod = {"nodeName": AWAY, "containers": [{"name": "mine", "image": "x"}]}
        body = {"metadata": {"name": name}, "spec": pod if resource == PODS else wanted["spec"]}
        made: list[Object] = []

        def begin() -> str:
            made.append(self._server.writes.create(Target(resource, NAMESPACE), body, {}))
            if resource != PODS:
                self._server.change(made[0], lambda work: work.update(status=FAILED), resource)
            return name

        def end() -> str:
            found = self._server.objects.get(resource, (NAMESPACE, name))
            if found is not None and found["metadata"]["uid"] == made[0]["metadata"]["uid"]:
                self._server.deletion.delete(resource, found, {"gracePeriodSeconds": 0})
            elif self._has_its_namespace(made[0]):
                self.robbed.append(name)
            return name

        return begin, end

    def _has_its_namespace(self, obj: Object) -> bool:
        """Whether the namespace is still the one that this was made in, and stays."""
        found = self._server.objects.get(NAMESPACES, ("", NAMESPACE))
        if found is None:
            return False
        space, since = found["metadata"], obj["metadata"]["creationTimestamp"]
        return "deletionTimestamp" not in space and space["creationTimestamp"] <= since
