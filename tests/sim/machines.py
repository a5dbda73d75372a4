"""What befalls the machines of a simulated world: its nodes, and those that the operators run on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from tests.apiserver.cluster import Cluster
from tests.apiserver.kubelet import name_of
from tests.apiserver.resources import PODS
from tests.sim.administration import Administration, Deed
from tests.sim.nodes import Nodes


class Machine(Protocol):
    """An operator's process, and the machine that it runs on."""

    name: str
    alive: bool
    cut_off: bool
    threadless: bool
    leading: bool
    behind: float
    leaseless: bool

    def die(self, why: str) -> None:
        """End the process."""

    def vanish(self) -> None:
        """End the process for good."""

    def shift_clock(self, seconds: float) -> None:
        """Set the machine's clock to another time."""


class Machines:
    """``delete`` is what a person does to one of the Experiments with these ``names``."""

    def __init__(
        self,
        cluster: Cluster,
        nodes: Nodes,
        machines: Sequence[Machine],
        admin: Administration,
        delete: Callable[[str], str],
        names: Sequence[str],
    ) -> None:
        self._cluster, self._nodes, self._machines, self._admin = cluster, nodes, machines, admin
        self._delete, self._names = delete, names

    def lose_node(self, chance: random.Random) -> Deed:
        node, gives_up = chance.choice(["node-1", "node-2"]), chance.random() < 0.5
        silent = self._cluster.kubelet.silent

        def begin() -> str:
            silent.add(node)
            if gives_up:
                for pod in [p for p in self._cluster.kubelet.pods() if p["spec"].get("nodeName") == node]:
                    self._nodes.take(pod)
                    self._cluster.kubelet.disrupt(name_of(pod), "DeletionByTaintManager", "node is unreachable")
                    self._cluster.server.deletion.delete(PODS, self._cluster.kubelet.pod(name_of(pod)), {})
            return node

        def end() -> str:
            silent.discard(node)
            self._nodes.due = self._cluster.clock.now()
            return node

        return begin, end

    def crowd(self, _chance: random.Random) -> Deed:
        """Others hold all GPUs."""

        def crowd(so: bool) -> Callable[[], str]:
            def do() -> str:
                self._nodes.crowded, self._nodes.due = so, self._cluster.clock.now()
                return "no GPU is free" if so else "the GPUs are free"

            return do

        return crowd(True), crowd(False)

    def break_node(self, chance: random.Random) -> Deed:
        """Its device plugin hangs: the kubelet refuses each Pod that the scheduler goes on to give it."""
        node, broken = chance.choice(["node-1", "node-1", "node-2"]), self._nodes.broken

        def begin() -> str:
            broken.add(node)
            return node

        def end() -> str:
            broken.discard(node)
            return node

        return begin, end

    def delete_for_good(self, chance: random.Random) -> Deed:
        """Of an Experiment whose Pods are on nodes that cannot be reached for long, or without a database."""
        name, silent = chance.choice(self._names), self._cluster.kubelet.silent
        nodes = chance.choice([{"node-1", "node-2"}, set()])

        def begin() -> str:
            silent.update(nodes)
            self._admin.database_down = not nodes
            return self._delete(name)

        def end() -> str:
            silent.difference_update(nodes)
            self._admin.database_down = False
            self._nodes.due = self._cluster.clock.now()
            return name

        return begin, end

    def kill_operator(self, chance: random.Random) -> Deed:
        machine = chance.choice(self._machines)

        def begin() -> str:
            machine.die("killed from outside")
            return machine.name

        return begin, None

    def lose_operator(self, chance: random.Random) -> Deed:
        machine = chance.choice(self._machines)

        def begin() -> str:
            machine.vanish()
            return machine.name

        return begin, None

    def cut_operator_off(self, chance: random.Random) -> Deed:
        machine = chance.choice(self._machines)

        def begin() -> str:
            machine.cut_off = True
            return machine.name

        def end() -> str:
            # By then its watches cannot go on where they were.
            self._cluster.server.objects.compact()
            machine.cut_off = False
            return machine.name

        return begin, end

    def shift_clock(self, chance: random.Random) -> Deed:
        machine, seconds = chance.choice(self._machines), chance.uniform(-30.0, 30.0)

        def begin() -> str:
            machine.shift_clock(seconds)
            return f"{machine.name} by {seconds:.0f} s"

        return begin, None
