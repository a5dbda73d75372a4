"""What those do to a simulated cluster who administer it: quotas, policies, rights, the servers themselves.

Whatever is taken away comes back before the world falls quiet.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from kubetuna_operator.experiment.opened import study_name
from kubetuna_operator.kube.leader import NAME
from kubetuna_operator.kube.objects import Owner
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure, forbidden
from tests.apiserver.resources import (
    CLAIM_TEMPLATES,
    EVENTS,
    EXPERIMENTS,
    JOBS,
    LEASES,
    PODS,
    QUOTAS,
    TRIALS,
    Object,
    Resource,
    Target,
)
from tests.sim.database import FOREIGN, Database
from tests.sim.experiments import CLAIM

OWN_NAMESPACE = "kubetuna"
WEBHOOK = 'admission webhook "policy.example" denied the request: every image needs a signature'
SILENT_WEBHOOK = 'Internal error occurred: failed calling webhook "policy.example": context deadline exceeded'
POD_SECURITY = 'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod must set it)'
# A sidecar of a mesh, in front of all others, and what else is put into Pods on their way.
SIDECAR = {"name": "mesh-proxy", "image": "registry.example/proxy:1", "env": [{"name": "MODE", "value": "mesh"}]}
MUTATED = {"tolerations": [{"operator": "Exists"}], "priority": 7, "activeDeadlineSeconds": 86_400}

Deed = tuple[Callable[[], str], Callable[[], str] | None]


class Administration:
    """``foreign`` are UIDs of Experiments into whose studies someone else wrote."""

    def __init__(self, cluster: Cluster, database: Database) -> None:
        self._cluster, self._database = cluster, database
        self._server = cluster.server
        self.forbidden = self.down = self.database_down = False
        self.foreign: set[str] = set()
        # What the API server says to whoever wants to make something, for longer than a `startTimeout`.
        self.overload = ""
        self._offer_claims()

    def _offer_claims(self) -> str:
        device = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com", "count": 1}}
        claim = {"metadata": {"name": CLAIM}, "spec": {"spec": {"devices": {"requests": [device]}}}}
        self._server.writes.create(Target(CLAIM_TEMPLATES, NAMESPACE), claim, {})
        return CLAIM

    def _remove(self, resource: Resource, namespace: str, name: str) -> str:
        found = self._server.objects.get(resource, (namespace, name))
        if found is None:
            return f"{name} is gone"
        self._server.deletion.delete(resource, found, {})
        return name

    # Policies.

    def fill_quota(self, _chance: random.Random) -> Deed:
        """No Pod more."""

        def begin() -> str:
            quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0"}}}
            if self._server.objects.get(QUOTAS, (NAMESPACE, "pods")) is None:
                self._server.writes.create(Target(QUOTAS, NAMESPACE), quota, {})
            return "no Pods"

        return begin, lambda: self._remove(QUOTAS, NAMESPACE, "pods")

    def deny(self, chance: random.Random) -> Deed:
        """A webhook denies objects or does not answer, or Pod Security refuses them."""
        how = chance.choice(["webhook", "silent webhook", "Pod Security"])
        kinds = chance.choice([(PODS,), (PODS, JOBS), (TRIALS,), (EVENTS, TRIALS)]) if "web" in how else (PODS,)

        def admit(resource: Resource, obj: Object) -> None:
            if resource not in kinds or obj["metadata"].get("namespace") != NAMESPACE:
                return
            if how == "silent webhook":
                raise Failure(500, "InternalError", SILENT_WEBHOOK)
            if how == "webhook":
                raise Failure(403, "Forbidden", WEBHOOK)
            raise forbidden(PODS, obj["metadata"]["name"], POD_SECURITY)

        return self._admission(admit, f"{how} for {', '.join(kind.plural for kind in kinds)}")

    def mutate(self, _chance: random.Random) -> Deed:
        """A webhook puts into every Pod what its owner did not ask for."""

        def admit(resource: Resource, obj: Object) -> None:
            if resource == PODS and obj["metadata"].get("namespace") == NAMESPACE:
                spec, metadata = obj["spec"], obj["metadata"]
                obj["spec"] = {**spec, **MUTATED, "containers": [SIDECAR, *spec["containers"]]}
                metadata["annotations"] = {**(metadata.get("annotations") or {}), "mesh.example/injected": "yes"}

        return self._admission(admit, "a sidecar in every Pod")

    def _admission(self, admit: Callable[[Resource, Object], None], what: str) -> Deed:
        admissions = self._server.writes.admissions

        def begin() -> str:
            admissions.append(admit)
            return what

        def end() -> str:
            admissions.remove(admit)
            return what

        return begin, end

    # The servers, and the rights of the operators.

    def compact(self, _chance: random.Random) -> Deed:
        """All watches end and cannot go on where they were."""

        def begin() -> str:
            self._server.objects.compact()
            self._server.cut_watches()
            return "the API server forgets its history, and ends all watches"

        return begin, None

    def stop_api_server(self, _chance: random.Random) -> Deed:
        """Nobody reaches it; once it is back it has no history."""

        def begin() -> str:
            self._server.cut_watches(ConnectionResetError("connection reset by peer"))
            return self._set("down", True)

        def end() -> str:
            self._server.objects.compact()
            return self._set("down", False)

        return begin, end

    def stop_database(self, _chance: random.Random) -> Deed:
        """Nobody reaches it."""
        return lambda: self._set("database_down", True), lambda: self._set("database_down", False)

    def overload_api_server(self, chance: random.Random) -> Deed:
        """It takes no new objects in the namespace; that says nothing of these."""
        what = chance.choice(["429", "500"])
        return lambda: self._set("overload", what), lambda: self._set("overload", "")

    def take_role(self, _chance: random.Random) -> Deed:
        """The operators may do nothing in the namespace."""
        return lambda: self._set("forbidden", True), lambda: self._set("forbidden", False)

    def _set(self, what: str, so: bool | str) -> str:
        setattr(self, what, so)
        return "it begins" if so else "it is over"

    def lose_claims(self, _chance: random.Random) -> Deed:
        """Nobody can say what a claim of devices gives."""
        return lambda: self._remove(CLAIM_TEMPLATES, NAMESPACE, CLAIM), self._offer_claims

    def delete_lease(self, _chance: random.Random) -> Deed:
        """Someone cleans up."""
        return lambda: self._remove(LEASES, OWN_NAMESPACE, NAME), None

    # The database.

    def write_into_study(self, chance: random.Random) -> Deed:
        """Someone with the database's password adds a trial to a study, with plain Optuna."""
        state, which = chance.choice(FOREIGN), chance.random()

        def begin() -> str:
            found = self._server.objects.of(EXPERIMENTS, NAMESPACE)
            if not found:
                return "there is none"
            chosen = found[int(which * len(found))]["metadata"]
            self.foreign.add(chosen["uid"])
            name = study_name(Owner(NAMESPACE, chosen["name"], chosen["uid"]))
            return f"{name} {state}: {self._database.add_foreign(name, state)}"

        return begin, None

    def take_study_over(self, chance: random.Random) -> Deed:
        """Someone's operator, of an installation of its own, opens a study, and is ended before it does more."""
        which = chance.random()

        def begin() -> str:
            found = self._server.objects.of(EXPERIMENTS, NAMESPACE)
            if not found:
                return "there is none"
            chosen = found[int(which * len(found))]["metadata"]
            name = study_name(Owner(NAMESPACE, chosen["name"], chosen["uid"]))
            return f"{name}: {self._database.take_over(name)}"

        return begin, None
