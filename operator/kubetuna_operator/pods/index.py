"""The Pods of all experiments by the Experiment that owns them, and a signal for each when its Pods change.

Events of a watch and answers to writes come from different threads, in any order. What is known of a Pod never goes
back: one that was deleted stays away, and an answer that is older than what the watch has shown is passed over. But
a watch says also of a Pod that lost our label for a moment that it was deleted: what is told of it later is newer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetuna_operator.kube.objects import mapping, text
from kubetuna_operator.kube.reflector import Key
from kubetuna_operator.pods.status import PodView
from kubetuna_operator.telemetry import PODS_RUNNING

Learn = Callable[[Mapping[str, Any]], None]

# Deleted Pods that are remembered: far more than writes can be under way.
GONE_KEPT = 10_000


@dataclass(slots=True)
class _Own:
    """The Pods of one Experiment, which of their changes was the latest, how many run."""

    pods: dict[Key, PodView] = field(default_factory=dict)
    version: int = 0
    running: int = 0


class Changes(threading.Event):
    """Set when something of one Experiment changed: a Pod, or what is known of its log. ``call`` is called too."""

    call: Callable[[], None] = staticmethod(lambda: None)

    def set(self) -> None:
        super().set()
        self.call()


class PodIndex:
    """Fed by reflectors (``update``), read by places. ``learn`` takes in Pods ahead of their events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pods: dict[Key, PodView] = {}
        self._owners: dict[str, _Own] = {}
        # By UID the revision that was known last.
        self._gone: OrderedDict[str, int | None] = OrderedDict()
        self._count = 0
        self._changes: dict[str, Changes] = {}
        # Told of each Pod that may run, of an Experiment whose changes nobody asks for.
        self.unasked: Callable[[PodView], None] = lambda _pod: None
        self._learners: dict[str | None, Learn] = {}

    def learn_with(self, namespace: str | None, learn: Learn) -> None:
        """Where Pods of a namespace (None: all) are taken in."""
        self._learners[namespace] = learn

    def learn(self, pod: Mapping[str, Any]) -> None:
        """Take in a Pod that the API server answered with."""
        namespace = text(mapping(pod.get("metadata")).get("namespace"))
        learner = self._learners.get(namespace) or self._learners.get(None)
        if learner is not None:
            learner(pod)

    def update(self, key: Key, before: PodView | None, after: PodView | None) -> None:
        """A Pod came, changed or went. ``before`` is None of one that whoever tells of it did not know."""
        with self._lock:
            known = self._pods.get(key)
            if before is not None and (after is None or after.uid != before.uid):
                self._bury(before)
            if after is None:
                # Another of this name is none of its business.
                stale = known is None or before is None or known.uid != before.uid
            else:
                stale = self._is_buried(after) or (before is None and _is_newer(known, after))
            if stale:
                return
            told = self._replace(key, known, after)
            asked = after is None or after.owner in self._changes
        for changes in told:
            changes.set()
        if after is not None and not asked and after.may_run:
            self.unasked(after)

    def _bury(self, pod: PodView) -> None:
        self._gone[pod.uid] = pod.revision
        if len(self._gone) > GONE_KEPT:
            self._gone.popitem(last=False)

    def _is_buried(self, pod: PodView) -> bool:
        """Whether it was gone when this could be said of it, as far as can be told."""
        if pod.uid not in self._gone:
            return False
        last = self._gone[pod.uid]
        return last is None or pod.revision is None or pod.revision <= last

    def _replace(self, key: Key, before: PodView | None, after: PodView | None) -> list[Changes]:
        """Put it in the place of what was known. Returns whom to wake."""
        self._count += 1
        if before is not None:
            del self._pods[key]
            own = self._owners[before.owner]
            del own.pods[key]
            own.running -= _runs(before)
            own.version = self._count
            if not own.pods:
                del self._owners[before.owner]
        if after is not None:
            self._pods[key] = after
            own = self._owners.setdefault(after.owner, _Own())
            own.pods[key] = after
            own.running += _runs(after)
            own.version = self._count
        PODS_RUNNING.inc(_runs(after) - _runs(before))
        owners = {pod.owner for pod in (before, after) if pod is not None}
        return [self._changes[owner] for owner in owners if owner in self._changes]

    def of(self, owner: str) -> list[PodView]:
        """The Pods of one Experiment, by its UID."""
        with self._lock:
            return list(self._owners[owner].pods.values()) if owner in self._owners else []

    def version(self, owner: str) -> int:
        """Another number after every change of the Experiment's Pods; 0 while there are none."""
        with self._lock:
            return self._owners[owner].version if owner in self._owners else 0

    def running(self) -> dict[str, int]:
        """By Experiment, the Pods that have started and not ended."""
        with self._lock:
            return {owner: own.running for owner, own in self._owners.items() if own.running}

    def changes(self, owner: str) -> Changes:
        """Set at every change of the Experiment's Pods."""
        with self._lock:
            return self._changes.setdefault(owner, Changes())

    def leave(self, owner: str) -> None:
        """Nobody asks for this Experiment's changes any more."""
        with self._lock:
            self._changes.pop(owner, None)


def _runs(pod: PodView | None) -> int:
    return int(pod is not None and pod.started is not None and pod.exit is None)


def _is_newer(known: PodView | None, other: PodView) -> bool:
    if known is None or known.uid != other.uid:
        return False
    return known.revision is not None and other.revision is not None and known.revision > other.revision
