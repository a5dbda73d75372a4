"""Kubernetes Events on Experiments: what a person reads under ``kubectl describe``.

One object per message, counted up where it comes again; of one experiment only so many at once, since each is a
write that the whole cluster keeps.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubetuna.trials.records import MESSAGE_LIMIT
from kubetuna_operator.kube.api_client import Api, Refused, collection
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.telemetry import EVENTS_DROPPED

COMPONENT = "kubetuna-operator"
AT_ONCE, SECONDS_EACH = 25.0, 10.0
EXPERIMENTS_KEPT = 1_000


@dataclass(slots=True)
class _Budget:
    """What one experiment may still say now."""

    left: float
    at: float


class Events:
    """Writes Events in the background. ``clock`` measures, ``wall`` tells the time of day."""

    def __init__(
        self,
        api: Api,
        deferred: DeferredWrites,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._api, self._background, self._clock, self._wall = api, deferred, clock, wall
        self._budgets: dict[str, _Budget] = {}
        self._lock = threading.Lock()

    def emit(self, owner: Owner, reason: str, message: str, warning: bool = False) -> None:
        """Emit an Event about an Experiment."""
        if not self._may(owner.uid):
            EVENTS_DROPPED.inc()
            return
        event = _event(owner, reason, _cut(message), "Warning" if warning else "Normal", self._wall())
        name: str = event["metadata"]["name"]
        self._background.later(("event", name, self._clock()), lambda: self._write(owner, event))

    def _may(self, uid: str) -> bool:
        with self._lock:
            now = self._clock()
            if len(self._budgets) > EXPERIMENTS_KEPT:
                self._budgets.clear()
            budget = self._budgets.setdefault(uid, _Budget(AT_ONCE, now))
            budget.left = min(AT_ONCE, budget.left + (now - budget.at) / SECONDS_EACH)
            budget.at = now
            if budget.left < 1:
                return False
            budget.left -= 1
            return True

    def _write(self, owner: Owner, event: dict[str, Any]) -> None:
        path = collection("events", owner.namespace)
        try:
            self._api.create(path, event, low_priority=True)
        except Refused as error:
            if error.code == 409:
                self._count_up(f"{path}/{event['metadata']['name']}", event["lastTimestamp"])
            else:
                # No right to write Events, or the namespace goes: nothing depends on them.
                EVENTS_DROPPED.inc()

    def _count_up(self, path: str, at: str) -> None:
        try:
            count = int(self._api.get(path).get("count") or 1)
            self._api.merge(path, {"count": count + 1, "lastTimestamp": at}, low_priority=True)
        except Refused:
            EVENTS_DROPPED.inc()


def _cut(message: str) -> str:
    """As long as an Event's text may be, which is counted in bytes."""
    return message.encode(errors="replace")[:MESSAGE_LIMIT].decode(errors="ignore")


def _event(owner: Owner, reason: str, message: str, kind: str, at: float) -> dict[str, Any]:
    digest = hashlib.sha256(f"{owner.uid} {reason} {message}".encode()).hexdigest()[:16]
    now = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{owner.name}.{digest}", "namespace": owner.namespace},
        "involvedObject": {
            "apiVersion": owner.version, "kind": "Experiment",
            "namespace": owner.namespace, "name": owner.name, "uid": owner.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
    }  # fmt: skip
