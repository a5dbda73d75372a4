"""The Pods of all experiments by the Experiment that owns them, and a signal for each when its Pods change."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator.kube.objects import mapping, text
from kubetuna_operator.kube.reflector import Key
from kubetuna_operator.pods.status import PodView
from kubetuna_operator.telemetry import PODS_RUNNING

Learn = Callable[[Mapping[str, Any]], None]


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
        self._pods: dict[str, dict[Key, PodView]] = defaultdict(dict)
        self._changes: dict[str, Changes] = {}
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
        """A Pod came, changed or went."""
        owner = (after or before or _NOBODY).owner
        with self._lock:
            if after is None:
                self._pods[owner].pop(key, None)
                if not self._pods[owner]:
                    del self._pods[owner]
            else:
                self._pods[owner][key] = after
            changes = self._changes.get(owner)
        PODS_RUNNING.inc(_runs(after) - _runs(before))
        if changes is not None:
            changes.set()

    def of(self, owner: str) -> list[PodView]:
        """The Pods of one Experiment, by its UID."""
        with self._lock:
            return list(self._pods[owner].values()) if owner in self._pods else []

    def running(self) -> int:
        """Pods that have started and not ended."""
        with self._lock:
            return sum(_runs(pod) for pods in self._pods.values() for pod in pods.values())

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


class _Nobody:
    owner = ""


_NOBODY = _Nobody()
