"""Why a Pod on a node does not start, where its object says nothing: the latest warning among its Events.

A kubelet that waits for a Secret, a ConfigMap or a volume says so in Events alone, and the Pod holds its GPUs.
They are asked for in the background, rarely, and only of Pods that take long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator.kube.api_client import Api, Refused, collection
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.objects import mapping, mappings, seconds, text
from kubetuna_operator.pods.status import PodView

# A Pod starts within this time, its image aside; that often its Events are asked for.
SLOW_SECONDS, ASK_SECONDS = 30.0, 60.0
LENGTH = 300
# What was said before a Pod had its node.
PAST = frozenset({"FailedScheduling"})


class Warnings:
    """The warnings of one Experiment's Pods. ``changed`` is called when there is a new one."""

    def __init__(self, api: Api, background: DeferredWrites, changed: Callable[[], None]) -> None:
        self._api, self._background, self._changed = api, background, changed
        self._asked: dict[str, float] = {}
        self._found: dict[str, str] = {}

    def of(self, pod: PodView, now: float) -> str:
        """What is known of a Pod that does not start and does not say why; asked for where that is due."""
        due = self._asked.setdefault(pod.uid, now + SLOW_SECONDS)
        if now >= due:
            self._asked[pod.uid] = now + ASK_SECONDS
            self._background.later(("event", "warning", pod.uid), lambda: self._ask(pod))
        return self._found.get(pod.uid, "")

    def keep(self, uids: set[str]) -> None:
        """Forget all Pods but these."""
        self._asked = {uid: at for uid, at in self._asked.items() if uid in uids}
        self._found = {uid: why for uid, why in self._found.items() if uid in uids}

    def _ask(self, pod: PodView) -> None:
        selector = f"involvedObject.uid={pod.uid},type=Warning"
        try:
            answer = self._api.get(collection("events", pod.namespace), fieldSelector=selector, limit=100)
        except Refused:
            # No right to read Events, or the namespace goes: then nobody knows.
            return
        why = latest(answer)
        if why != self._found.get(pod.uid, ""):
            self._found[pod.uid] = why
            self._changed()


def latest(events: Mapping[str, Any]) -> str:
    """The latest of some Events of a Pod on a node, as people read it."""
    told = [event for event in mappings(events.get("items")) if text(event.get("reason")) not in PAST]
    found = max(told, key=_time, default={})
    reason, message = text(found.get("reason")), " ".join(text(found.get("message")).split())
    return f"{reason}: {message}"[:LENGTH] if reason or message else ""


def _time(event: Mapping[str, Any]) -> float:
    series, metadata = mapping(event.get("series")), mapping(event.get("metadata"))
    told = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    times = [seconds(at) for at in (*told, metadata.get("creationTimestamp"))]
    return max((at for at in times if at is not None), default=0.0)
