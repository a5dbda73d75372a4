"""What people do to Experiments and Pods in a simulated world, and what befalls its machines: a timeline.

Whatever is taken away comes back before the world falls quiet: a node, a quota, a right, a suspended Experiment.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.kubelet import is_new, name_of
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.resources import EXPERIMENTS, PODS, QUOTAS, TRIALS, Object, Resource, Target
from tests.sim.draws import Draws, Moment
from tests.sim.nodes import Nodes

LONGEST_TROUBLE = 60.0


class Machine(Protocol):
    """An operator's process, and the machine that it runs on."""

    name: str
    alive: bool
    cut_off: bool

    def die(self, why: str) -> None:
        """End the process."""

    def shift_clock(self, seconds: float) -> None:
        """Set the machine's clock to another time."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is done at ``at``; ``undo`` belongs to an earlier deed, and is done with it or not at all."""

    at: float
    moment: Moment
    what: str
    do: Callable[[], str]


class Fate:
    """Draws a timeline and carries it out. ``touched``: names of Experiments whose results people changed."""

    def __init__(
        self, cluster: Cluster, nodes: Nodes, draws: Draws, machines: list[Any], make: Callable[[str], Object]
    ) -> None:
        self._cluster, self._nodes, self._draws, self._machines, self._make = cluster, nodes, draws, machines, make
        self._random = draws.stream("fate")
        self._timeline: list[Deed] = []
        self.names: list[str] = []
        self.edited: set[str] = set()
        self.cut_short: set[str] = set()
        self.forbidden = self.down = self.database_down = False
        self.done: tuple[Moment, ...] = ()
        # UIDs of Pods that someone took away, and of copies that are no attempts.
        self.taken: set[str] = set()
        self.copies: set[str] = set()
        # Names of Trial objects that someone deleted: what has ended is not shown again.
        self.unshown: set[str] = set()
        self.quiet_at = cluster.clock.now()

    def draw(self, count: int, seconds: float) -> None:
        """Make a timeline of ``count`` deeds within so many seconds."""
        begin = self._cluster.clock.now()
        for index in range(count):
            at = begin + self._random.uniform(1.0, seconds)
            self._plan(at, Moment("deed", index), self._random.choice(DEEDS))
        self._timeline.sort(key=lambda deed: deed.at)
        self.quiet_at = max([begin + seconds, *(deed.at for deed in self._timeline)])

    def _plan(self, at: float, moment: Moment, kind: str) -> None:
        """Drawn whole, whether or not it will happen, so that leaving one out leaves the others as they are."""
        chance = random.Random(self._random.getrandbits(64))
        until = at + chance.uniform(2.0, LONGEST_TROUBLE)
        if not self._draws.happens(moment):
            return
        begin, end = getattr(self, f"_{kind.replace(' ', '_')}")(chance)
        self._timeline.append(Deed(at, moment, kind, begin))
        if end is not None:
            self._timeline.append(Deed(until, moment, f"end of: {kind}", end))

    @property
    def due(self) -> float:
        """When something is done next."""
        return self._timeline[0].at if self._timeline else float("inf")

    def step(self) -> str:
        """Do it; what it was, for the trace."""
        deed = self._timeline.pop(0)
        self.done = (*self.done, deed.moment)
        return f"{deed.what}: {deed.do()}"

    # People and their Experiments.

    def _find(self, chance: random.Random) -> tuple[str, Object | None]:
        name = chance.choice(self.names)
        return name, self._cluster.server.objects.get(EXPERIMENTS, (NAMESPACE, name))

    def _merge(self, name: str, spec: dict[str, Any]) -> str:
        try:
            self._cluster.server.writes.merge(Target(EXPERIMENTS, NAMESPACE, name), {"spec": spec}, {})
        except Exception as error:
            return f"{name}: {error}"
        return f"{name} {spec}"

    def _edit_counts(self, chance: random.Random) -> Any:
        name = chance.choice(self.names)
        fields = [("maxTrialCount", chance.randint(1, 6)), ("parallelTrialCount", chance.randint(1, 4))]
        changed = dict([chance.choice(fields)])

        def begin() -> str:
            self.edited.add(name)
            return self._merge(name, changed)

        return begin, None

    def _lower_budget(self, chance: random.Random) -> Any:
        name, hours = chance.choice(self.names), round(chance.uniform(0.002, 0.05), 4)

        def begin() -> str:
            self.cut_short.add(name)
            return self._merge(name, {"budget": {"gpuHours": hours}})

        return begin, None

    def _suspend(self, chance: random.Random) -> Any:
        name, policy = chance.choice(self.names), chance.choice(["drain", "stop"])
        begin = {"suspend": True, "suspendPolicy": policy}
        return lambda: self._merge(name, begin), lambda: self._merge(name, {"suspend": False})

    def _shut_down(self, chance: random.Random) -> Any:
        name = chance.choice(self.names)

        def begin() -> str:
            self.cut_short.add(name)
            return self._merge(name, {"shutdown": True})

        return begin, None

    def _delete(self, chance: random.Random) -> Any:
        name, again = chance.choice(self.names), chance.random() < 0.6

        def begin() -> str:
            self.cut_short.add(name)
            return self._remove(EXPERIMENTS, name)

        def end() -> str:
            found = self._cluster.server.objects.get(EXPERIMENTS, (NAMESPACE, name))
            if found is not None:
                return f"{name} is still there"
            self._cluster.server.writes.create(Target(EXPERIMENTS, NAMESPACE), self._make(name), {})
            return name

        return begin, (end if again else None)

    def _delete_trial_object(self, chance: random.Random) -> Any:
        def begin() -> str:
            trials = self._cluster.server.objects.of(TRIALS, NAMESPACE)
            if not trials:
                return "there is none"
            self.unshown.add(name_of(chosen := chance.choice(trials)))
            return self._remove(TRIALS, name_of(chosen))

        return begin, None

    def _remove(self, resource: Resource, name: str, **options: Any) -> str:
        found = self._cluster.server.objects.get(resource, (NAMESPACE, name))
        if found is None:
            return f"{name} is gone"
        self._cluster.server.deletion.delete(resource, found, options)
        return name

    # People, controllers and their Pods.

    def _pod(self, chance: random.Random, open_only: bool = True) -> Object | None:
        pods = self._cluster.kubelet.pods()
        found = [p for p in pods if not open_only or p["status"]["phase"] not in ENDED]
        return chance.choice(found) if found else None

    def _take_pod(self, chance: random.Random, **options: Any) -> Any:
        def begin() -> str:
            pod = self._pod(chance, open_only=False)
            if pod is None:
                return "there is none"
            self.taken.add(pod["metadata"]["uid"])
            return self._remove(PODS, name_of(pod), **options)

        return begin, None

    def _delete_pod(self, chance: random.Random) -> Any:
        return self._take_pod(chance)

    def _force_pod(self, chance: random.Random) -> Any:
        return self._take_pod(chance, gracePeriodSeconds=0)

    def _copy_pod(self, chance: random.Random) -> Any:
        def begin() -> str:
            pod = self._pod(chance)
            if pod is None:
                return "there is none"
            made = copy.deepcopy({k: v for k, v in pod.items() if k != "status"})
            made["metadata"] = {n: made["metadata"].get(n, {}) for n in ("labels", "annotations")}
            made["metadata"]["name"] = f"copy-of-{name_of(pod)}"
            made["spec"].pop("nodeName", None)
            stored = self._cluster.server.writes.create(Target(PODS, NAMESPACE), made, {})
            self.copies.add(stored["metadata"]["uid"])
            return name_of(pod)

        return begin, None

    def _evict(self, chance: random.Random) -> Any:
        return self._disrupt(chance, lambda name: self._cluster.kubelet.evict(name))

    def _preempt(self, chance: random.Random) -> Any:
        def preempt(name: str) -> None:
            self._cluster.kubelet.disrupt(
                name, "PreemptionByScheduler", "preempting to accommodate a higher priority"
            )
            self._remove(PODS, name)

        return self._disrupt(chance, preempt)

    def _disrupt(self, chance: random.Random, how: Callable[[str], None]) -> Any:
        def begin() -> str:
            pod = self._pod(chance)
            if pod is None or is_new(pod) or not self._nodes.reachable(pod["spec"]["nodeName"]):
                return "there is none"
            self.taken.add(pod["metadata"]["uid"])
            how(name_of(pod))
            return name_of(pod)

        return begin, None

    def _fill_quota(self, _chance: random.Random) -> Any:
        def begin() -> str:
            quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0"}}}
            if self._cluster.server.objects.get(QUOTAS, (NAMESPACE, "pods")) is None:
                self._cluster.server.writes.create(Target(QUOTAS, NAMESPACE), quota, {})
            return "no Pods"

        return begin, lambda: self._remove(QUOTAS, "pods")

    # Machines.

    def _lose_node(self, chance: random.Random) -> Any:
        node, gives_up = chance.choice(["node-1", "node-2"]), chance.random() < 0.5
        silent = self._cluster.kubelet.silent

        def begin() -> str:
            silent.add(node)
            if gives_up:
                for pod in [p for p in self._cluster.kubelet.pods() if p["spec"].get("nodeName") == node]:
                    self.taken.add(pod["metadata"]["uid"])
                    self._cluster.kubelet.disrupt(name_of(pod), "DeletionByTaintManager", "node is unreachable")
                    self._remove(PODS, name_of(pod))
            return node

        def end() -> str:
            silent.discard(node)
            self._nodes.due = self._cluster.clock.now()
            return node

        return begin, end

    def _compact(self, _chance: random.Random) -> Any:
        def begin() -> str:
            self._cluster.server.objects.compact()
            self._cluster.server.cut_watches()
            return "the API server forgets its history, and ends all watches"

        return begin, None

    def _stop_api_server(self, _chance: random.Random) -> Any:
        def begin() -> str:
            self.down = True
            self._cluster.server.cut_watches(ConnectionResetError("connection reset by peer"))
            return "nobody reaches it"

        def end() -> str:
            self.down = False
            return "it is back"

        return begin, end

    def _stop_database(self, _chance: random.Random) -> Any:
        def begin() -> str:
            self.database_down = True
            return "nobody reaches it"

        def end() -> str:
            self.database_down = False
            return "it is back"

        return begin, end

    def _take_role(self, _chance: random.Random) -> Any:
        def begin() -> str:
            self.forbidden = True
            return "the operators may do nothing in the namespace"

        def end() -> str:
            self.forbidden = False
            return "they may again"

        return begin, end

    def _kill_operator(self, chance: random.Random) -> Any:
        machine = chance.choice(self._machines)

        def begin() -> str:
            machine.die("killed from outside")
            return machine.name

        return begin, None

    def _cut_operator_off(self, chance: random.Random) -> Any:
        machine = chance.choice(self._machines)

        def begin() -> str:
            machine.cut_off = True
            return machine.name

        def end() -> str:
            machine.cut_off = False
            return machine.name

        return begin, end

    def _shift_clock(self, chance: random.Random) -> Any:
        machine, seconds = chance.choice(self._machines), chance.uniform(-30.0, 30.0)

        def begin() -> str:
            machine.shift_clock(seconds)
            return f"{machine.name} by {seconds:.0f} s"

        return begin, None


DEEDS = (
    "edit counts", "edit counts", "lower budget", "suspend", "suspend", "shut down", "delete", "delete",
    "delete trial object", "delete pod", "delete pod", "force pod", "copy pod", "evict", "preempt", "fill quota",
    "lose node", "lose node", "compact", "stop api server", "stop database", "take role",
    "kill operator", "kill operator", "cut operator off", "shift clock",
)  # fmt: skip
