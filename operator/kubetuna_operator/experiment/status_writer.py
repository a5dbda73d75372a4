"""Writing the status of one Experiment: only where it says something new, with an Event where a condition turns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.errors import KubetunaError
from kubetuna.planning.status import ANSWERS_SHOWN
from kubetuna.trials.fitting import fitted
from kubetuna.trials.records import timestamp
from kubetuna_operator import FIELD_MANAGER, GROUP, VERSION
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.kube.api_client import Refused, collection
from kubetuna_operator.kube.objects import Owner, mapping, mappings, whole
from kubetuna_operator.kube.objects import experiment as readable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _ConditionEvent:
    """The Event for a condition's change; ``back``: only after the opposite was so."""

    reason: str
    warning: bool = False
    back: bool = False


WORTH_AN_EVENT = {
    ("Accepted", "False"): _ConditionEvent("SpecInvalid", warning=True),
    ("StoreReady", "False"): _ConditionEvent("StoreUnavailable", warning=True),
    ("StoreReady", "True"): _ConditionEvent("StoreReady", back=True),
    ("Stalled", "True"): _ConditionEvent("Stalled", warning=True),
    ("Stalled", "False"): _ConditionEvent("NoLongerStalled", back=True),
    ("Suspended", "True"): _ConditionEvent("Suspended"),
    ("Suspended", "False"): _ConditionEvent("Resumed", back=True),
    ("Restarting", "True"): _ConditionEvent("Restarting"),
    ("Succeeded", "True"): _ConditionEvent("Succeeded"),
    ("Failed", "True"): _ConditionEvent("Failed", warning=True),
}

# Of a status as JSON, whatever its parameters, objectives and names; and what of it may be cut for that.
BYTES = 100_000
_LISTS = frozenset(("paretoFront", "runningTrialList", "pendingTrialList", "failures", "requests"))
DIVISIBLE = _LISTS | {"params", "parameterAssignments", "metrics", "repeats", "values", "message"}
# Status writes would otherwise be most of what a busy experiment asks of the API server.
SECONDS_BETWEEN = 1.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A status to be applied: as far as its writer knows, and given the one that is found by then.

    ``whole``: what it shows of the study, unless that is as found.
    """

    status: Mapping[str, Any]
    given: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    whole: Mapping[str, Any] | None


class StatusWriter:
    """Applies the status of one Experiment, keeping the times at which conditions last changed."""

    def __init__(self, context: OperatorContext, owner: Owner, known: Mapping[str, Any]) -> None:
        self._api, self._background, self._events = context.api, context.deferred, context.events
        self._owner, self._clock = owner, context.clock
        self._extra = {"experiment": f"{owner.namespace}/{owner.name}"}
        self._path = f"{collection('experiments', owner.namespace)}/{owner.name}"
        self._wanted: _Wanted | None = None
        self._applied: Mapping[str, Any] = {}
        # What was last to be shown, by this process or the one before it.
        self._shown: Mapping[str, Any] = known
        self._conditions = {c["type"]: c for c in known.get("conditions") or []}
        self._at = 0.0
        self._lock = threading.Lock()

    @property
    def shown(self) -> Mapping[str, Any]:
        """What was last to be shown."""
        return self._shown

    @property
    def settled(self) -> bool:
        """Whether what was last to be shown is written."""
        return self._wanted is None

    def due(self) -> bool:
        """Whether the last write lies long enough back."""
        return self._clock.now() >= self._at + SECONDS_BETWEEN

    def offer(self, status: Mapping[str, Any]) -> None:
        """Apply a status soon, unless another one is offered before, or it says nothing new."""
        if self._wanted is None and self._applied and _without_time(status) == _without_time(self._shown):
            return
        self._want_whole(status)
        self._later(max(0.0, self._at + SECONDS_BETWEEN - self._clock.now()))

    def write(self, status: Mapping[str, Any]) -> None:
        """Apply a status now; where that fails, as soon as it can be. Nothing that matters waits for it."""
        self._want_whole(status)
        self._write()

    def amend(self, bare: Mapping[str, Any]) -> None:
        """Show the conditions of a status that knows nothing else, over what is shown by then."""
        self._merge(bare, lambda found: {**bare, **found})

    def refuse(self, bare: Mapping[str, Any]) -> None:
        """Show a status that knows nothing of the study, over what is shown of that by then.

        Its answers to people's requests are the new ones.
        """
        self._merge(bare, lambda found: {**found, **bare, **_answered(found, bare)})

    def _merge(self, bare: Mapping[str, Any], merged: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Over what waits to be written, else over what is found: another writer may show more in the meantime, be
        it of the same epoch, as a former leader does until this one has taken the study up.
        """
        named = {c["type"] for c in bare["conditions"]}
        whole = self._wanted.whole if self._wanted is not None else None

        def over(known: Mapping[str, Any]) -> Mapping[str, Any]:
            kept = [c for c in known.get("conditions") or [] if c["type"] not in named]
            return {**merged(known), "conditions": [*kept, *bare["conditions"]]}

        self._want(_Wanted(over(self._shown), lambda found: over(found if whole is None else whole), whole))
        self._write()

    def _want_whole(self, status: Mapping[str, Any]) -> None:
        self._want(_Wanted(status, lambda _: status, status))

    def _want(self, wanted: _Wanted) -> None:
        self._shown, self._wanted = wanted.status, wanted

    def _write(self) -> None:
        try:
            self._flush()
        except KubetunaError as error:
            log.warning("the status is written later: %s", error, extra=self._extra)
            self._later(SECONDS_BETWEEN)

    def _later(self, delay: float) -> None:
        self._background.later(("status", self._owner.uid), self._flush, delay)

    def _flush(self) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, None
            if wanted is None:
                return
            try:
                self._apply(wanted)
            except KubetunaError:
                self._wanted = self._wanted or wanted
                raise

    def _apply(self, wanted: _Wanted) -> None:
        """Apply a status unless it is as it was, but for the time."""
        if _without_time(wanted.status) == _without_time(self._applied):
            return
        written: Mapping[str, Any] | None = None
        try:
            written = self._guarded(wanted)
        except Refused as error:
            # Gone, or another one of the same name: then nobody reads it.
            if error.code not in (404, 422):
                raise
        self._applied, self._at = wanted.status, self._clock.now()
        if written is not None:
            self._emit_changes(written["conditions"])

    def _guarded(self, wanted: _Wanted) -> Mapping[str, Any] | None:
        """Apply to this very object: a server ignores a UID beside a status, but heeds a revision.

        None where it is another one, or shows what came later.
        """
        obj = readable(self._api.get(self._path))
        metadata, found = obj["metadata"], obj["status"]
        if metadata["uid"] != self._owner.uid or not follows(wanted.status, found):
            return None
        status = self._dated(wanted.given(found), found)
        names = {"name": self._owner.name, "namespace": self._owner.namespace}
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Experiment",
            "metadata": {**names, "resourceVersion": metadata["resourceVersion"]},
            "status": status,
        }
        self._api.apply(f"{self._path}/status", body, FIELD_MANAGER, low_priority=True)
        return status

    def _emit_changes(self, conditions: Sequence[Mapping[str, Any]]) -> None:
        before = self._conditions
        self._conditions = {c["type"]: dict(c) for c in conditions}
        for condition in conditions:
            event = WORTH_AN_EVENT.get((condition["type"], condition["status"]))
            known = before.get(condition["type"], {"status": "Unknown"})
            if event is None or known["status"] == condition["status"]:
                continue
            # Only a change for the better is reported where there was something wrong before.
            if event.back and known["status"] == "Unknown":
                continue
            message = condition.get("message") or condition.get("reason") or ""
            self._events.emit(self._owner, event.reason, message, event.warning)

    def _dated(self, status: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
        """As long as may be, its conditions with the times at which they turned since what is ``found``."""
        before = {c["type"]: c for c in found["conditions"]}
        dated = [self._turned(c, before.get(c["type"])) for c in status.get("conditions") or []]
        return fitted({**status, "conditions": dated}, BYTES, DIVISIBLE)

    def _turned(self, condition: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
        """With the time of its last change: this one, unless the study knows a later one than that before."""
        if before is None:
            return dict(condition)
        known, given = before["lastTransitionTime"], condition["lastTransitionTime"]
        changed = given if given > known else timestamp(self._clock.now())
        return {**condition, "lastTransitionTime": known if before["status"] == condition["status"] else changed}


def _answered(found: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The answers that are found, and those that are not among them; of all these the latest."""
    known = mappings(found.get("requests"))
    asked = [(row.get("id"), row.get("request")) for row in known]
    rows = [*known, *(row for row in mappings(new.get("requests")) if (row["id"], row["request"]) not in asked)]
    return {"requests": rows[-ANSWERS_SHOWN:]} if rows else {}


def follows(status: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether a status may take the place of the one that is found.

    An operator that was frozen writes late: what a later writer of the study showed stays. Until the spec is
    another one, or a later writer took the study up, an end stays too, and what is known of the study against a
    status that knows nothing of it.
    """
    ours, theirs = mapping(status.get("study")), mapping(found.get("study"))
    epoch, later = whole(ours.get("epoch")), whole(theirs.get("epoch")) or 0
    if epoch is not None and ours.get("uid") == theirs.get("uid") and later > epoch:
        return False
    seen, known = (whole(s.get("observedGeneration")) or 0 for s in (status, found))
    if seen != known:
        return seen > known
    again = epoch is not None and epoch > later
    return (epoch is not None or not later) and (again or _has_ended(status) or not _has_ended(found))


def _has_ended(status: Mapping[str, Any]) -> bool:
    """A refused experiment has failed as well, but never began and so may begin yet."""
    return status.get("state") in ("Succeeded", "Failed") and bool(status.get("completionTime"))


def _without_time(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in status.items() if k != "lastReconcileTime"}
    kept["conditions"] = [_undated(condition) for condition in status.get("conditions") or []]
    # Time alone moves the clock figures of a running experiment; they come along with the next real change.
    kept["spent"] = (status.get("spent") or {}).get("steps")
    return kept


def _undated(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in condition.items() if name != "lastTransitionTime"}
