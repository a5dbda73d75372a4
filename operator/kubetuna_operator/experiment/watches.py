"""The watches of one namespace, and whether it can be read: one that cannot stops no other.

Its Role may be missing, or it was deleted. It is asked for again and again, and taken up once it answers. Meanwhile
none of its Experiments is carried out, since nobody knows which Pods they have.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator import LABEL_EXPERIMENT
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.experiment.requests import requests_of
from kubetuna_operator.kube.objects import experiment
from kubetuna_operator.kube.reflector import Key, Reflector
from kubetuna_operator.pods.status import PodView, view

log = logging.getLogger(__name__)

Object = Mapping[str, Any]


class NamespaceWatches:
    """Experiments and Pods of a namespace (None: of all). ``look`` is told of each Experiment to look at."""

    def __init__(self, context: OperatorContext, namespace: str | None, look: Callable[[Key], None]) -> None:
        self._name = f"namespace {namespace}" if namespace else "the cluster"
        self._look, self._lock, self._refused = look, threading.Lock(), False
        self._followers: list[tuple[Callable[[Object], None], Callable[[], None]]] = []
        shared = (self._turned, context.monotonic, context.chance)
        self._experiments: Reflector[Object] = Reflector(
            context.api, "experiments", namespace, experiment, self._changed, None, *shared
        )
        self._pods: Reflector[PodView] = Reflector(
            context.api, "pods", namespace, view, context.pods.update, LABEL_EXPERIMENT, *shared
        )
        context.pods.learn_with(namespace, self._pods.learn)

    @property
    def both(self) -> tuple[Reflector[Any], Reflector[Any]]:
        """The two, Pods first."""
        return self._pods, self._experiments

    @property
    def readable(self) -> bool:
        """Whether what is known is what there is."""
        return not self.refusal and all(watch.synced.is_set() for watch in self.both)

    @property
    def refusal(self) -> str:
        """Why the namespace cannot be read; empty where it can, or has not answered yet."""
        why = next((watch.refusal for watch in self.both if watch.refusal), "")
        return f"{self._name} cannot be read: {why}" if why else ""

    @property
    def last_event_at(self) -> float:
        """When the quieter watch last heard anything, monotonic seconds."""
        return min(watch.last_event_at for watch in self.both)

    def start(self) -> None:
        """Watch in threads."""
        for watch in self.both:
            watch.start()

    def renew(self) -> None:
        """Begin anew; until everything was listed nothing here counts as known."""
        for watch in self.both:
            watch.renew()

    def experiment(self, key: Key) -> Object | None:
        """An Experiment as it is now; none where that cannot be known."""
        return self._experiments.get(key) if self.readable else None

    def follow(self, changed: Callable[[Object], None], turned: Callable[[], None]) -> None:
        """Also tell of each Experiment as it is after a change, of one that is gone as it was.

        ``turned``: whether the namespace can be read may have changed.
        """
        self._followers.append((changed, turned))

    def _changed(self, key: Key, before: Object | None, after: Object | None) -> None:
        """Not for each status of our own: it would ask for as many turns again."""
        if (obj := after or before) is not None:
            self._pass_on(obj)
        if _task(before) != _task(after):
            self._look(key)

    def _turned(self) -> None:
        """What was passed over while the namespace could not be read is due now, and the other way round."""
        with self._lock:
            before, self._refused = self._refused, bool(refusal := self.refusal)
            if self._refused and not before:
                log.warning("%s; it is tried again", refusal)
            elif before and not self._refused:
                log.info("%s can be read", self._name)
        for key in self._experiments.items():
            self._look(key)
        for _, turned in self._followers:
            turned()

    def _pass_on(self, obj: Object) -> None:
        for changed, _ in self._followers:
            changed(obj)


def _task(obj: Object | None) -> tuple[object, ...]:
    """What of an Experiment a turn depends on."""
    if obj is None:
        return ()
    metadata = obj["metadata"]
    named = (metadata.get(name) for name in ("uid", "generation", "deletionTimestamp", "finalizers"))
    return (*named, obj["status"].get("completionTime"), requests_of(obj))
