"""Who may read a log now: no node, no experiment and no silence takes all readers.

Log reads are proxied to kubelets, one connection each, and a kubelet that hangs holds its reader until that gives
up. So each node and each experiment has a part of the readers, nodes that did not answer share a few, and some are
left for the last read of a Pod that ended, on which a new one waits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from math import sqrt

READERS = 16
FINAL_RESERVE = 4
PER_NODE, PER_EXPERIMENT, SILENT_TOGETHER = 4, 8, 4
# Nodes come and go; one that is forgotten is only asked once more.
NODES_KEPT = 1_000
# Reads of all running Pods together: one of a thousand is read every ten seconds.
READS_PER_SECOND = 100.0


class ReadBudget:
    """Counts the reads under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: Counter[str] = Counter()
        self._experiments: Counter[str] = Counter()
        self._silent: set[str] = set()

    def take(self, experiment: str, node: str, final: bool) -> bool:
        """Begin a read, if there is room for it."""
        with self._lock:
            room = self._nodes.total() < READERS - (0 if final else FINAL_RESERVE)
            room = room and self._nodes[node] < PER_NODE and self._experiments[experiment] < PER_EXPERIMENT
            if room and node in self._silent:
                room = sum(self._nodes[n] for n in self._silent) < SILENT_TOGETHER
            if room:
                self._nodes[node] += 1
                self._experiments[experiment] += 1
            return room

    def give_back(self, experiment: str, node: str) -> None:
        """End a read."""
        with self._lock:
            self._nodes[node] -= 1
            self._experiments[experiment] -= 1
            self._nodes, self._experiments = +self._nodes, +self._experiments

    def note(self, node: str, answers: bool) -> None:
        """Whether a node answers."""
        with self._lock:
            if len(self._silent) > NODES_KEPT:
                self._silent.clear()
            (self._silent.discard if answers else self._silent.add)(node)


def interval(own: int, running: Iterable[int]) -> float:
    """Seconds between two reads of one Pod, of an experiment with that many that run beside others.

    An experiment's part grows with the root of its size: a small one is hardly slower beside a large one.
    """
    return sqrt(own) * sum(map(sqrt, running)) / READS_PER_SECOND
