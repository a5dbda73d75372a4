"""Why something does not go on, where its object says nothing: the latest warning among its Events.

A kubelet that waits for a Secret, a ConfigMap or a volume says so in Events alone, and so does a controller whose
Pods are refused; meanwhile others hold GPUs. They are asked for rarely, and only of what takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator.kube.api_client import Api, Refused, collection
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.objects import mapping, mappings, seconds, text

# A Pod starts within this time, its image aside; that often its Events are asked for.
SLOW_SECONDS, ASK_SECONDS = 30.0, 60.0
LENGTH = 300
# What was said before a Pod had its node, and what the training operator says of every Pod that it makes.
IDLE = frozenset({"FailedScheduling", "SetPodTemplateRestartPolicy", "SetPodTemplateSchedulerName"})


class Warnings:
    """The warnings about one Experiment's objects. ``changed`` is called when there is a new one."""

    def __init__(self, api: Api, background: DeferredWrites, namespace: str, changed: Callable[[], None]) -> None:
        self._api, self._background, self._namespace, self._changed = api, background, namespace, changed
        self._asked: dict[str, float] = {}
        self._found: dict[str, str] = {}

    def of(self, uid: str, now: float) -> str:
        """What is known of an object that does not go on and does not say why; asked for where that is due."""
        due = self._asked.setdefault(uid, now + SLOW_SECONDS)
        if now >= due:
            self._asked[uid] = now + ASK_SECONDS
            self._background.later(("event", "warning", uid), lambda: self._ask(uid))
        return self._found.get(uid, "")

    def keep(self, uids: set[str]) -> None:
        """Forget all objects but these."""
        self._asked = {uid: at for uid, at in self._asked.items() if uid in uids}
        self._found = {uid: why for uid, why in self._found.items() if uid in uids}

    def _ask(self, uid: str) -> None:
        why = warning(self._api, self._namespace, uid)
        if why is not None and why != self._found.get(uid, ""):
            self._found[uid] = why
            self._changed()


def warning(api: Api, namespace: str, uid: str) -> str | None:
    """The latest one about an object, if there is any. None: no right to read Events, or the namespace goes."""
    selector = f"involvedObject.uid={uid},type=Warning"
    try:
        return latest(api.get(collection("events", namespace), fieldSelector=selector, limit=100))
    except Refused:
        return None


def latest(events: Mapping[str, Any]) -> str:
    """The latest of some Events, as people read it; of several in one second the last, which says most."""
    told = [event for event in mappings(events.get("items")) if text(event.get("reason")) not in IDLE]
    found: Mapping[str, Any] = max(reversed(told), key=_time, default={})
    reason, message = text(found.get("reason")), " ".join(text(found.get("message")).split())
    return f"{reason}: {message}"[:LENGTH] if reason or message else ""


def _time(event: Mapping[str, Any]) -> float:
    series, metadata = mapping(event.get("series")), mapping(event.get("metadata"))
    told = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    times = [seconds(at) for at in (*told, metadata.get("creationTimestamp"))]
    return max((at for at in times if at is not None), default=0.0)
