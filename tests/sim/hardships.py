"""What befalls few simulated worlds, since it takes long or needs one of its own.

A registry that is slow for all, a node that starts nothing more, a cluster that others have more right to, policies
against what an operator does to objects, a machine without threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from kubetuna_operator import LABEL_EXPERIMENT
from kubetuna_operator.kube.leader import NAME
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.resources import EXPERIMENTS, LEASES, PODS, TRIALS, Object, Resource, Target
from tests.apiserver.server import Response
from tests.sim.administration import OWN_NAMESPACE, WEBHOOK, Deed
from tests.sim.network import refusal
from tests.sim.nodes import Nodes
from tests.sim.strangers import AWAY, Strangers

# So long before the power goes nothing came to a disk any more.
UNWRITTEN_SECONDS = 3.0
# Of a Pod that is deleted others see for so long how it ended.
LINGERING_SECONDS = 2.0
# Between two times that an agent, or the tools that fight over labels, write into all Pods.
MEASURE_SECONDS, RELABEL_SECONDS = 0.3, 4.0
# A watch is so far behind.
BEHIND_SECONDS = 12.0
# What answers in place of the API server where none is behind it, and has no notion of the time.
NOTHING = Response(404, b"404 page not found\n", "text/plain", {"Date": "never"})


class Hardships:
    """What people and machines do there. ``end`` ends every Experiment, of these ``names``."""

    def __init__(
        self, cluster: Cluster, nodes: Nodes, machines: Sequence[Any], end: Callable[[], str], names: Sequence[str]
    ) -> None:
        self._cluster, self._nodes, self._machines, self._end, self._names = cluster, nodes, machines, end, names
        self._undeletable = self._unserved = self._swept = False
        # Since when something is lost of what the API server took.
        self._lost_since: float | None = None
        self.strangers = Strangers(cluster)
        # Whether what has lost its owner stays.
        self.uncollected = False

    def answer(self, method: str, path: str) -> Response | None:
        """What the server says to a request that it does not carry out."""
        if method == "DELETE" and self._undeletable and "/pods/" not in path:
            return refusal(403, "Forbidden", WEBHOOK)
        if method in ("PATCH", "DELETE") and self._cluster.server.forgets and "/pods/" in path:
            self._lose()
        if method == "GET" and self._swept and path.endswith("/log"):
            self._sweep_away(path.split("/")[-2])
        return NOTHING if self._unserved else None

    def _sweep_away(self, name: str) -> None:
        pod = self._cluster.server.objects.get(PODS, (NAMESPACE, name))
        if pod is not None and pod["status"]["phase"] in ENDED:
            self._nodes.take(pod)
            self._cluster.server.deletion.delete(PODS, pod, {})

    def slow_registry(self, _chance: random.Random) -> Deed:
        """Whatever comes up meets one obstacle after the other, each for less than its `startTimeout`."""
        return self._trouble("two obstacles", ("node-1", "node-2"))

    def stuck_node(self, chance: random.Random) -> Deed:
        """Of what has run elsewhere nothing starts on a node any more: at once, or after a `startTimeout`."""
        return self._trouble(chance.choice(["no image", "start error"]), [chance.choice(["node-1", "node-2"])])

    def _trouble(self, kind: str, nodes: Sequence[str]) -> Deed:
        def set_to(troubles: dict[str, str]) -> Callable[[], str]:
            def do() -> str:
                self._nodes.troubles = troubles
                return f"{kind} on {', '.join(nodes)}"

            return do

        return set_to(dict.fromkeys(nodes, kind)), set_to({})

    def contest(self, _chance: random.Random) -> Deed:
        """Others have more right to the GPUs: soon after it has begun each Pod is preempted."""

        def switch(so: bool) -> str:
            self._linger(so)
            self._nodes.contested, self._nodes.due = so, self._cluster.clock.now()
            return "others come first" if so else "there is room for all"

        return _there_and_back(switch)

    def linger(self, _chance: random.Random) -> Deed:
        """Kubelets take their time with what was deleted."""
        return _there_and_back(self._linger)

    def _linger(self, so: bool) -> str:
        self._cluster.kubelet.lingering = LINGERING_SECONDS if so else 0.0
        return "they take their time" if so else "they do not"

    def slow_collector(self, _chance: random.Random) -> Deed:
        """What an Experiment has left is there when one of its name comes."""

        def switch(so: bool) -> str:
            self.uncollected = so
            return "nothing is collected" if so else "it goes on"

        return _there_and_back(switch)

    def no_room(self, _chance: random.Random) -> Deed:
        """Others hold all GPUs, for good."""

        def begin() -> str:
            self._nodes.crowded = True
            return "no GPU will be free"

        return begin, None

    def shut_all_down(self, _chance: random.Random) -> Deed:
        """Since nothing will come of them."""
        return self._end, None

    def shut_the_others_down(self, _chance: random.Random) -> Deed:
        """Those that were made since."""
        return self._end, None

    def namesake(self, _chance: random.Random) -> Deed:
        """Something of someone else's has the name that an attempt will have."""
        self._cluster.kubelet.silent.add(AWAY)
        return self.strangers.namesake(f"{self._names[0]}-1-0-0", self._wanted(self._names[0]))

    def _wanted(self, name: str) -> Object:
        found = self._cluster.server.objects.get(EXPERIMENTS, (NAMESPACE, name))
        assert found is not None
        wanted: Object = found["spec"]["trialTemplate"]["trialSpec"]
        return wanted

    def agent(self, _chance: random.Random) -> Deed:
        """Someone's agent writes what it has measured into the labels of all Pods, again and again."""

        def switch(so: bool) -> str:
            self._nodes.meddle("agent", self._measure if so else None, MEASURE_SECONDS)
            return "it begins" if so else "it is over"

        return _there_and_back(switch)

    def _measure(self) -> None:
        measured = str(int(self._cluster.clock.now() * 10))
        for pod in self._cluster.kubelet.pods():
            labels = {**(pod["metadata"].get("labels") or {}), "agent.example/measured": measured}
            self._cluster.server.change(pod, lambda p, labels=labels: p["metadata"].update(labels=labels))

    def odd_balancer(self, _chance: random.Random) -> Deed:
        """What stands in front of the API server knows no way to it, and says that nothing is there."""

        def switch(so: bool) -> str:
            self._unserved = so
            return "nothing is found" if so else "it knows the way"

        return _there_and_back(switch)

    def split(self, _chance: random.Random) -> Deed:
        """The leader hears nothing of the Lease any more, which someone deletes: another one leads beside it."""
        leading: list[Any] = []

        def begin() -> str:
            leading.extend(machine for machine in self._machines if machine.leading)
            for machine in leading:
                machine.leaseless = True
            found = self._cluster.server.objects.get(LEASES, (OWN_NAMESPACE, NAME))
            if found is not None:
                self._cluster.server.deletion.delete(LEASES, found, {})
            return ", ".join(machine.name for machine in leading)

        def end() -> str:
            for machine in leading:
                machine.leaseless = False
            return "it hears of it again"

        return begin, end

    def slow_watches(self, _chance: random.Random) -> Deed:
        """Whoever watches Experiments is told late."""

        def switch(so: bool) -> str:
            for machine in self._machines:
                machine.behind = BEHIND_SECONDS if so else 0.0
            return "they are late" if so else "they are not"

        return _there_and_back(switch)

    def forbid_trials(self, _chance: random.Random) -> Deed:
        """A webhook takes no Trial, new or changed."""
        change, undo = self._forbid(TRIALS, "status", of="")
        admissions = self._cluster.server.writes.admissions

        def admit(resource: Resource, _obj: Object) -> None:
            if resource == TRIALS:
                raise Failure(403, "Forbidden", WEBHOOK)

        def begin() -> str:
            admissions.append(admit)
            return change()

        def end() -> str:
            admissions.remove(admit)
            return undo() if undo is not None else ""

        return begin, end

    def lose_writes(self, _chance: random.Random) -> Deed:
        """The power goes: what the API server took of changes to Pods in its last seconds was on no disk yet."""

        def begin() -> str:
            self._cluster.server.forgets = True
            return "what is written to Pods is lost"

        return begin, self._lose_power

    def _lose(self) -> None:
        now = self._cluster.clock.now()
        self._lost_since = now if self._lost_since is None else self._lost_since
        if now > self._lost_since + UNWRITTEN_SECONDS:
            self._lose_power()

    def _lose_power(self) -> str:
        server = self._cluster.server
        if not server.forgets:
            return "it was started again"
        server.forgets = False
        server.objects.compact()
        server.cut_watches(ConnectionResetError("connection reset by peer"))
        return "the API server is started again"

    def relabel(self, _chance: random.Random) -> Deed:
        """Someone's tool takes our labels off the Pods, and another one puts them back at once."""

        def switch(so: bool) -> str:
            self._nodes.meddle("relabel", self._relabel if so else None, RELABEL_SECONDS)
            return "they fight over labels" if so else "they agree"

        return _there_and_back(switch)

    def _relabel(self) -> None:
        for pod in [
            p for p in self._cluster.kubelet.pods() if LABEL_EXPERIMENT in (p["metadata"].get("labels") or {})
        ]:
            target = Target(PODS, NAMESPACE, pod["metadata"]["name"])
            for value in (None, pod["metadata"]["labels"][LABEL_EXPERIMENT]):
                with suppress(Failure):
                    self._cluster.server.writes.merge(
                        target, {"metadata": {"labels": {LABEL_EXPERIMENT: value}}}, {}
                    )

    def sweep(self, _chance: random.Random) -> Deed:
        """Who tidies up is faster than who reads: what has ended is deleted just before its log is asked for."""

        def switch(so: bool) -> str:
            self._swept = so
            return "what has ended is deleted" if so else "what has ended stays"

        return _there_and_back(switch)

    def forbid_deletions(self, _chance: random.Random) -> Deed:
        """A webhook lets nobody delete what makes Pods."""

        def switch(so: bool) -> str:
            self._undeletable = so
            return "none" if so else "all are taken"

        return _there_and_back(switch)

    def forbid_finalizers(self, _chance: random.Random) -> Deed:
        """A webhook takes statuses and specs, but no change of an Experiment's finalizers."""
        return self._forbid(EXPERIMENTS, "finalizers")

    def forbid_statuses(self, _chance: random.Random) -> Deed:
        """A webhook takes no status of an Experiment."""
        return self._forbid(EXPERIMENTS, "status", of="")

    def forbid_labels(self, _chance: random.Random) -> Deed:
        """A webhook takes no change of a Pod's labels."""
        return self._forbid(PODS, "labels")

    def _forbid(self, kind: Resource, field: str, of: str = "metadata") -> Deed:
        reviews = self._cluster.server.writes.reviews

        def review(resource: Resource, before: Object, after: Object) -> None:
            had, has = ((obj[of] if of else obj).get(field) for obj in (before, after))
            if resource == kind and had != has:
                raise Failure(403, "Forbidden", WEBHOOK)

        def begin() -> str:
            reviews.append(review)
            return "none is taken"

        def end() -> str:
            reviews.remove(review)
            return "they are taken"

        return begin, end

    def no_threads(self, chance: random.Random) -> Deed:
        """The limit of a machine is reached."""
        machine = chance.choice(self._machines)

        def switch(so: bool) -> str:
            machine.threadless = so
            return f"{machine.name}: {'none can be started' if so else 'there are some'}"

        return _there_and_back(switch)


def _there_and_back(switch: Callable[[bool], str]) -> Deed:
    """What begins with a switch, and what ends with it."""
    return lambda: switch(True), lambda: switch(False)
