"""What people do to Experiments and Pods in a simulated world, and what befalls its machines: a timeline.

Whatever is taken away comes back before the world falls quiet: a node, a quota, a right, a suspended Experiment.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubetuna_operator import ANNOTATION_REQUEST
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure
from tests.apiserver.kubelet import name_of
from tests.apiserver.resources import EXPERIMENTS, NAMESPACES, TRIALS, Object, Resource, Target
from tests.sim.actors import NEVER
from tests.sim.administration import Administration
from tests.sim.drawn_hardships import SECONDS, drawn_hardships
from tests.sim.draws import Draws, Moment
from tests.sim.hardships import Hardships
from tests.sim.katib import BEGINNINGS, COUNTS, EDITS, KATIB_DEEDS, Katib
from tests.sim.machines import Machines
from tests.sim.nodes import Nodes
from tests.sim.pod_deeds import PodDeeds

LONGEST_TROUBLE = 60.0
# For longer than a deletion waits for a node (for a database it waits), than a Pod waits for a GPU, or may take
# to start.
LENGTHS = {"delete for good": (80.0, 120.0), "crowd": (80.0, 120.0), "overload api server": (130.0, 160.0)}
LENGTHS |= SECONDS


@dataclass(frozen=True, slots=True)
class Planned:
    """Something that is done at ``at``; ``undo`` belongs to an earlier deed, and is done with it or not at all."""

    at: float
    moment: Moment
    what: str
    do: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What someone asked of a trial: in which Experiment, by its UID, under which ID, in which words."""

    uid: str
    key: str
    line: str


class Fate:
    """Draws a timeline and carries it out. ``edited``: names of Experiments whose counts people changed."""

    def __init__(
        self,
        cluster: Cluster,
        nodes: Nodes,
        draws: Draws,
        machines: list[Any],
        make: Callable[[str], Object],
        admin: Administration,
    ) -> None:
        self.admin = admin
        self._cluster, self._draws = cluster, draws
        self._random = draws.stream("fate")
        self._timeline: list[Planned] = []
        self.names: list[str] = []
        self.edited: set[str] = set()
        self.asked: list[Asked] = []
        self.cut_short: set[str] = set()
        self.katib = Katib(cluster, make, self.cut_short)
        self.hardships = Hardships(cluster, nodes, machines, self._end_all, self.names)
        self._pods = PodDeeds(cluster, nodes)
        self._machines = Machines(cluster, nodes, machines, admin, self._give_up, self.names)
        nodes.take = self._pods.take
        self.done: tuple[Moment, ...] = ()
        # Whether anything was done that keeps an operator from its work.
        self.disturbed = False
        self.taken, self.copies, self.lost_ends = self._pods.taken, self._pods.copies, self._pods.lost_ends
        self.taken_attempts = self._pods.attempts
        # Names of Trial objects that someone deleted: what has ended is not shown again.
        self.unshown: set[str] = set()
        self.quiet_at = cluster.clock.now()
        # When all did fall quiet: later, where a process was frozen at that time.
        self.fell_quiet = NEVER

    def draw(self, count: int, seconds: float) -> None:
        """Make a timeline of ``count`` deeds within so many seconds."""
        begin = self._cluster.clock.now()
        for index in range(count):
            # Sooner rather than later: most Experiments do not take that long.
            at = begin + 1.0 + (seconds - 1.0) * self._random.random() ** 2
            kind = self._random.choice(DEEDS)
            self.plan(at, Moment("deed", index), kind, random.Random(self._random.getrandbits(64)))
        if count:
            self._draw_requests(begin, seconds)
            self._draw_shortages(begin, seconds)
            self._draw_hardships(begin)
        self._draw_katib(begin, seconds, count > 0)
        self._timeline.sort(key=lambda deed: deed.at)
        self.quiet_at = max([begin + seconds, *(deed.at for deed in self._timeline)])

    def _draw_requests(self, begin: float, seconds: float) -> None:
        """In some worlds people also ask something of single trials."""
        draw = self._draws.stream("requests")
        for index in range(draw.choice(REQUESTS)):
            at = begin + 1.0 + (seconds - 1.0) * draw.random() ** 2
            self.plan(at, Moment("request", index), "ask of a trial", draw)

    def _draw_shortages(self, begin: float, seconds: float) -> None:
        """In some worlds no GPU is free for long, or those of a node do not work, or an operator goes for good."""
        draw = self._draws.stream("shortages")
        for kind in draw.choice(SHORTAGES):
            at = begin + 1.0 + (seconds - 1.0) * draw.random() ** 2
            self.plan(at, Moment("shortage", 0), kind, draw)
        draw = self._draws.stream("losses")
        if draw.random() < LOSSES:
            self.plan(begin + 1.0 + (seconds - 1.0) * draw.random() ** 2, Moment("loss", 0), "lose operator", draw)
        if draw.random() < OVERLOADS:
            self.plan(begin + 10.0 * draw.random(), Moment("overload", 0), "overload api server", draw)

    def _draw_hardships(self, begin: float) -> None:
        for drawn in drawn_hardships(self._draws, begin):
            self.plan(*drawn)

    def _draw_katib(self, begin: float, seconds: float, deeds: bool) -> None:
        """What befalls Katib's group, where there is to be an Experiment of it."""
        draw = self._draws.stream("katib deeds")
        if not self.katib.theirs:
            return
        if deeds and (how := draw.choice(BEGINNINGS)):
            self.plan(begin + 1.0 + 20.0 * draw.random(), Moment("katib begins", 0), how, draw)
        else:
            for name in self.katib.theirs:
                self.katib.create(name)
        for index in range(draw.choice(COUNTS) if deeds else 0):
            at = begin + 1.0 + (seconds - 1.0) * draw.random() ** 2
            kind = draw.choice(KATIB_DEEDS)
            self.plan(at, Moment("katib", index), kind, random.Random(draw.getrandbits(64)))

    def plan(self, at: float, moment: Moment, kind: str, chance: random.Random) -> None:
        """Drawn whole, whether or not it will happen, so that leaving one out leaves the others as they are."""
        long = LENGTHS.get(kind, (2.0, LONGEST_TROUBLE))
        until = at + chance.uniform(*long)
        name = kind.replace(" ", "_")
        own = getattr(self, f"_{name}", None)
        others = (self._pods, self._machines, self.admin, self.katib, self.hardships)
        begin, end = (own or next(getattr(who, name) for who in others if hasattr(who, name)))(chance)
        if not self._draws.happens(moment):
            return
        self._timeline.append(Planned(at, moment, kind, begin))
        if end is not None:
            self._timeline.append(Planned(until, moment, f"end of: {kind}", end))

    @property
    def due(self) -> float:
        """When something is done next."""
        return self._timeline[0].at if self._timeline else float("inf")

    def step(self) -> str:
        """Do it; what it was, for the trace."""
        deed = self._timeline.pop(0)
        self.disturbed = self.disturbed or deed.what not in HARMLESS
        self.done = (*self.done, deed.moment)
        try:
            return f"{deed.what}: {deed.do()}"
        except Failure as failure:
            return f"{deed.what}: {failure}"

    # People and their Experiments.

    def _find(self, chance: random.Random) -> tuple[str, Object | None]:
        name = chance.choice(self.names)
        return name, self._cluster.server.objects.get(EXPERIMENTS, (NAMESPACE, name))

    def _merge(self, name: str, spec: dict[str, Any]) -> str:
        self._cluster.server.writes.merge(self.katib.target(name), {"spec": spec}, {})
        return f"{name} {spec}"

    def _edit_counts(self, chance: random.Random) -> Any:
        name = chance.choice(self.names)
        fields = [("maxTrialCount", chance.randint(1, 6)), ("parallelTrialCount", chance.randint(1, 4))]
        changed: dict[str, Any] = dict([chance.choice(fields)])
        if changed.get("parallelTrialCount") == 3 and name not in self.katib.theirs:
            changed["parallelTrialCount"] = {"min": 2, "max": 3}

        def begin() -> str:
            self.edited.add(name)
            return self._merge(name, changed)

        return begin, None

    def _ask_of_a_trial(self, chance: random.Random) -> Any:
        name, key, number = chance.choice(self.names), f"{chance.getrandbits(32):08x}", chance.randint(0, 3)
        point = f"add x={chance.uniform(-1.0, 1.0)!r} n={chance.randint(1, 4)}"
        line = chance.choice([f"stop {number}", f"retry {number}", point])

        return lambda: self.ask(name, key, line), None

    def ask(self, name: str, key: str, line: str) -> str:
        """Write a request for a trial down at its Experiment."""
        found = self._cluster.server.objects.get(EXPERIMENTS, (NAMESPACE, name))
        if found is None:
            return f"{name} is gone"
        written = {"metadata": {"annotations": {ANNOTATION_REQUEST + key: line}}}
        self._cluster.server.writes.merge(Target(EXPERIMENTS, NAMESPACE, name), written, {})
        self.asked.append(Asked(found["metadata"]["uid"], key, line))
        return f"{name} {key} {line}"

    def _lower_budget(self, chance: random.Random) -> Any:
        name, hours = chance.choice(self.names), round(chance.uniform(0.002, 0.05), 4)

        return lambda: self.lower_budget(name, hours), None

    def lower_budget(self, name: str, hours: float) -> str:
        """Give an Experiment this many GPU-hours."""
        self.cut_short.add(name)
        return self._merge(name, {"budget": {"gpuHours": hours}})

    def _suspend(self, chance: random.Random) -> Any:
        name, policy = chance.choice(self.names), chance.choice(["drain", "stop"])
        begin = {"suspend": True, "suspendPolicy": policy}
        return lambda: self._merge(name, begin), lambda: self._merge(name, self.katib.resumed(name))

    def _shut_down(self, chance: random.Random) -> Any:
        name = chance.choice(self.names)

        def begin() -> str:
            self.cut_short.add(name)
            return self._merge(name, {"shutdown": True})

        return begin, None

    def _end_all(self) -> str:
        """Of Katib's group none can be shut down."""
        for name in self.names:
            found = self._cluster.server.objects.get(self.katib.target(name).resource, (NAMESPACE, name))
            self.cut_short.add(name)
            if name in self.katib.theirs:
                self._give_up(name)
            elif found is not None:
                self._merge(name, {"shutdown": True})
        return ", ".join(self.names)

    def _misspell(self, chance: random.Random) -> Any:
        """Edit a spec into one that cannot be, and back."""
        name = chance.choice(self.names)

        def named(algorithm: str) -> Callable[[], str]:
            def edit() -> str:
                found = self._cluster.server.writes.find(self.katib.target(name))
                return self._merge(name, {"algorithm": {**found["spec"]["algorithm"], "algorithmName": algorithm}})

            return edit

        return named("randon"), named("random")

    def _delete(self, chance: random.Random) -> Any:
        name, again = chance.choice(self.names), chance.random() < 0.6

        def begin() -> str:
            return self._give_up(name)

        def end() -> str:
            target = self.katib.target(name)
            found = self._cluster.server.objects.get(target.resource, (NAMESPACE, target.name or ""))
            return f"{name} is still there" if found is not None else self.katib.create(name)

        return begin, (end if again else None)

    def _delete_namespace(self, chance: random.Random) -> Any:
        """With all that is in it; often it is made again."""
        again = chance.random() < 0.6
        space = Target(NAMESPACES, None, NAMESPACE)

        def begin() -> str:
            self.cut_short.update(self.names)
            self.taken.update(pod["metadata"]["uid"] for pod in self._cluster.kubelet.pods())
            self._cluster.server.deletion.delete(NAMESPACES, self._cluster.server.writes.find(space), {})
            return NAMESPACE

        def end() -> str:
            if self._cluster.server.objects.get(NAMESPACES, ("", NAMESPACE)) is not None:
                return f"{NAMESPACE} is still there"
            self._cluster.server.writes.create(Target(NAMESPACES), {"metadata": {"name": NAMESPACE}}, {})
            for name in self.names:
                self.katib.create(name)
            return NAMESPACE

        return begin, (end if again else None)

    def _delete_trial_object(self, chance: random.Random) -> Any:
        def begin() -> str:
            trials = self._cluster.server.objects.of(TRIALS, NAMESPACE)
            if not trials:
                return "there is none"
            self.unshown.add(name_of(chosen := chance.choice(trials)))
            return self._remove(TRIALS, name_of(chosen))

        return begin, None

    def _give_up(self, name: str) -> str:
        """Delete an Experiment."""
        self.cut_short.add(name)
        target = self.katib.target(name)
        return self._remove(target.resource, target.name or "")

    def _remove(self, resource: Resource, name: str, **options: Any) -> str:
        found = self._cluster.server.objects.get(resource, (NAMESPACE, name))
        if found is None:
            return f"{name} is gone"
        self._cluster.server.deletion.delete(resource, found, options)
        return name


# How many things are asked of trials, in one world after the other.
REQUESTS = (0, 0, 0, 0, 1, 3)
SHORTAGES: tuple[tuple[str, ...], ...] = ((), (), (), (), ("crowd",), ("break node",))
LOSSES, OVERLOADS = 0.1, 0.06
HARMLESS = (
    "ask of a trial",
    "misspell",
    "end of: misspell",
    "edit counts",
    "lower budget",
    "suspend",
    "end of: suspend",
    "shut down",
    *EDITS,
    *(f"end of: {edit}" for edit in EDITS),
)
DEEDS = (
    "edit counts", "edit counts", "lower budget", "lower budget", "suspend", "suspend", "shut down", "misspell",
    "delete", "delete", "delete namespace", "delete trial object", "delete pod", "delete pod", "force pod",
    "copy pod", "copy pod", "evict", "preempt", "rotate log", "lose log", "scribble", "fill quota", "deny",
    "deny", "mutate", "write into study", "write into study", "lose node", "lose node", "delete for good",
    "compact", "stop api server", "stop database", "take role", "lose claims", "delete lease", "kill operator",
    "kill operator", "cut operator off", "shift clock",
)  # fmt: skip
