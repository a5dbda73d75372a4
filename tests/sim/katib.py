"""Katib's group in some simulated worlds: an Experiment of it, what people do there, and what becomes of the group.

A world without one draws nothing from here: its seed stays the world that it was. Whatever is taken away comes back
before the world falls quiet.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from kubetuna.parsing.katib_migration import name_here
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import invalid, no_such_path
from tests.apiserver.resources import EXPERIMENTS, KATIB_EXPERIMENTS, KATIB_TRIALS, Object, Resource, Target
from tests.apiserver.server import Response
from tests.sim.administration import Deed
from tests.sim.experiments import most_at_once
from tests.sim.network import SAID_NO, refusal

SHARE = 0.12
# The second may not be a name of ours: that of ours differs.
NAMES = ("kat", "kat.0")
PATH = f"/apis/{KATIB_EXPERIMENTS.api_version}/"
MISSPELT = "randon"
# No loss is below it.
NO_GOAL = -5


class Katib:
    """``theirs``: by the name of ours the name of Katib's. ``make`` gives ours for its name."""

    def __init__(self, cluster: Cluster, make: Callable[[str], Object], cut_short: set[str]) -> None:
        self._cluster, self._server, self._make, self._cut_short = cluster, cluster.server, make, cut_short
        self.theirs: dict[str, str] = {}
        self.unserved = self.forbidden = False
        # Names of its Trials that someone deleted.
        self.unshown: set[str] = set()
        cluster.server.writes.reviews.append(_keep_what_is_fixed)

    def add(self, theirs: str) -> str:
        """There will be an Experiment of this name; the name of ours."""
        self.theirs[name_here(theirs)] = theirs
        return name_here(theirs)

    def answer(self, path: str) -> Response | None:
        """What the server says to a request of this group that it does not carry out."""
        if not path.startswith(PATH) or not (self.unserved or self.forbidden):
            return None
        return refusal(*SAID_NO["404"]) if self.unserved else refusal(403, "Forbidden", "no rights in kubeflow.org")

    def target(self, name: str) -> Target:
        """What people apply for the Experiment of ours that has this name."""
        if name in self.theirs:
            return Target(KATIB_EXPERIMENTS, NAMESPACE, self.theirs[name])
        return Target(EXPERIMENTS, NAMESPACE, name)

    def create(self, name: str, **edits: Any) -> str:
        """Apply it, as it was drawn."""
        target, made = self.target(name), self._make(name)
        if target.resource == KATIB_EXPERIMENTS:
            made = self._as_theirs(made, self.theirs[name], edits)
        self._server.writes.create(Target(target.resource, NAMESPACE), made, {})
        return name

    def _as_theirs(self, made: Object, name: str, edits: Object) -> Object:
        if self.unserved:
            raise no_such_path()
        version = {"apiVersion": KATIB_EXPERIMENTS.api_version, "metadata": {"name": name}}
        spec = {**made["spec"], "parallelTrialCount": most_at_once(made["spec"]), **edits}
        return {**made, **version, "spec": spec}

    # How it begins.

    def misspelt_at_first(self, chance: random.Random) -> Deed:
        """Refused until someone corrects it."""
        name = self._any(chance)
        self.create(name, algorithm={**self._make(name)["spec"]["algorithm"], "algorithmName": MISSPELT})
        return lambda: self._merge(name, {"algorithm": self._make(name)["spec"]["algorithm"]}), None

    def installed_late(self, chance: random.Random) -> Deed:
        """The operators serve a group that is not there yet."""
        name, self.unserved = self._any(chance), True

        def begin() -> str:
            self.unserved = False
            return self.create(name)

        return begin, None

    # People.

    def _any(self, chance: random.Random) -> str:
        return chance.choice(list(self.theirs))

    def _merge(self, name: str, spec: Object) -> str:
        self._server.writes.merge(self.target(name), {"spec": spec}, {})
        return f"{name} {spec}"

    def _delete(self, resource: Resource, name: str) -> str:
        found = self._server.objects.get(resource, (NAMESPACE, name))
        if found is None:
            return f"{name} is gone"
        self._server.deletion.delete(resource, found, {})
        return name

    def resumed(self, name: str) -> Object:
        """What lets it go on: who reads that an edit was refused, and all with it, takes that one back."""
        ours = self._server.objects.get(EXPERIMENTS, (NAMESPACE, name))
        taken = {} if name not in self.theirs or ours is None else ours["spec"]["objective"]
        field = "additionalMetricNames"
        return {"suspend": False, **({"objective": {field: taken.get(field)}} if taken else {})}

    def edit_what_is_fixed(self, chance: random.Random) -> Deed:
        """The API server refuses that of ours; often it is taken back."""
        name, back = self._any(chance), chance.random() < 0.5
        return self._objective(name, "additionalMetricNames", ["accuracy"], back)

    def set_and_unset_a_goal(self, chance: random.Random) -> Deed:
        """What is no longer wanted is no longer there."""
        return self._objective(self._any(chance), "goal", NO_GOAL, True)

    def _objective(self, name: str, field: str, value: Any, back: bool) -> Deed:
        """Edit one field of it; ``back``: and take it out again."""

        def edit(value: Any) -> Callable[[], str]:
            return lambda: self._merge(name, {"objective": {field: value}})

        return edit(value), edit(None) if back else None

    def delete_ours(self, chance: random.Random) -> Deed:
        """And Katib's stays: it is carried out anew."""
        name = self._any(chance)

        def begin() -> str:
            self._cut_short.add(name)
            return self._delete(EXPERIMENTS, name)

        return begin, None

    def delete_a_shown_trial(self, chance: random.Random) -> Deed:
        """What has ended need not be shown again."""

        def begin() -> str:
            found = self._server.objects.of(KATIB_TRIALS, NAMESPACE)
            if not found:
                return "there is none"
            name = chance.choice(found)["metadata"]["name"]
            self.unshown.add(name)
            return self._delete(KATIB_TRIALS, name)

        return begin, None

    def apply_a_namesake(self, chance: random.Random) -> Deed:
        """Of an Experiment of ours that nobody made from Katib's."""
        goes, name = chance.random() < 0.5, "exp0"

        def begin() -> str:
            made = self._as_theirs(self._make(name), name, {})
            self._server.writes.create(Target(KATIB_EXPERIMENTS, NAMESPACE), made, {})
            return name

        def end() -> str:
            self._cut_short.add(name)
            return self._delete(KATIB_EXPERIMENTS, name)

        return begin, end if goes else None

    # Whoever administers the cluster.

    def remove_group(self, chance: random.Random) -> Deed:
        """Its definitions, and with them all that is in it; once they are back it is often applied again."""
        again = chance.random() < 0.6

        def begin() -> str:
            self._cut_short.update([*self.theirs, "exp0"])
            for resource in (KATIB_EXPERIMENTS, KATIB_TRIALS):
                for found in list(self._server.objects.of(resource)):
                    self._server.deletion.delete(resource, found, {})
            for watch in self._server.watches:
                if watch.target.resource in (KATIB_EXPERIMENTS, KATIB_TRIALS):
                    watch.close()
            self.unserved = True
            return "it is gone"

        def end() -> str:
            self.unserved = False
            return ", ".join(map(self.create, self.theirs)) if again else "it is back, and empty"

        return begin, end

    def forget_group(self, _chance: random.Random) -> Deed:
        """A server that was just started answers 404 until it has read the definitions."""

        def begin() -> str:
            self._server.cut_watches(ConnectionResetError("connection reset by peer"))
            self.unserved = True
            return "404"

        return begin, lambda: self._set("unserved", False)

    def take_rights(self, _chance: random.Random) -> Deed:
        """In this group alone."""
        return lambda: self._set("forbidden", True), lambda: self._set("forbidden", False)

    def _set(self, what: str, so: bool) -> str:
        setattr(self, what, so)
        return "it begins" if so else "it is over"


def _keep_what_is_fixed(resource: Resource, before: Object, after: Object) -> None:
    """Of what the definition of ours refuses to change one field."""
    field = "additionalMetricNames"
    if resource == EXPERIMENTS and before["spec"]["objective"].get(field) != after["spec"]["objective"].get(field):
        raise invalid(resource, before["metadata"]["name"], "spec.objective", "cannot be changed")


BEGINNINGS = ("", "", "", "", "misspelt at first", "installed late")
COUNTS = (0, 1, 1, 2, 3)
KATIB_DEEDS = (
    "edit what is fixed", "edit what is fixed", "set and unset a goal", "delete ours", "delete a shown trial",
    "apply a namesake", "remove group", "forget group", "forget group", "take rights",
)  # fmt: skip
EDITS = ("edit what is fixed", "set and unset a goal", "apply a namesake")
