"""Trial objects: a read-only view of the study for people with a kubeconfig and no database password.

Written in the background, never read back to decide, bounded: the open trials, the best, and the latest thousand.
Deleting one does no harm; the next change writes it again. Each write names the revision that it changes, so a late
one, of an operator that was frozen, changes nothing that it does not know.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.errors import KubetunaError
from kubetuna.study.study import Study
from kubetuna.trials.environment import short
from kubetuna.trials.fitting import fitted
from kubetuna.trials.progress import OPEN_STATES
from kubetuna.trials.records import TrialRecord
from kubetuna_operator import GROUP, LABEL_EXPERIMENT, LABEL_TRIAL, VERSION
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from kubetuna_operator.kube.objects import Owner, mapping, mappings, text
from kubetuna_operator.kube.reflector import PAGE

log = logging.getLogger(__name__)

LATEST = 1_000
CURVE_POINTS = 50
ATTEMPTS = 10
SUMMARY_LIMIT = 200
# Of a Trial's status as JSON, whatever it reports; and what of it may be cut for that.
BYTES = 50_000
DIVISIBLE = frozenset(("series", "steps", "params", "metrics", "repeats", "values", "space", "attempts", "message"))
# Of one experiment at once, so that all others have their turn too; and as it ends, when what is shown of it should
# be whole, but no worker can be spared for long.
BATCH, AT_THE_END = 10, 100
# Until what was refused is tried again: a Role or a quota may have changed.
REFUSED_SECONDS = 60.0
# Others change an object at the very moment once, seldom twice.
TRIES = 3
# Seconds between two looks at the open trials, and from a change until it is written.
OPEN_SECONDS, SOON = 5.0, 1.0
# Enough for the statistics of a report; at 6 digits some three kilobytes a trial.
SERIES_POINTS = 250


@dataclass(frozen=True, slots=True)
class Written:
    """A Trial object as it was last seen: its status, at which revision, and whether this Experiment owns it."""

    status: Mapping[str, Any]
    revision: str
    ours: bool
    uid: str


class TrialObjects:
    """Keeps the Trial objects of one Experiment in step with its study."""

    def __init__(self, context: OperatorContext, owner: Owner, study: Study) -> None:
        self._api, self._background, self._clock = context.api, context.deferred, context.clock
        self._owner, self._study = owner, study
        self._path = collection("trials", owner.namespace)
        self._counted = max(0, len(study.told) - LATEST)
        self._looked = 0.0
        # What is to be written, oldest first; None: to be deleted.
        self._due: dict[int, TrialRecord | None] = {}
        self._shown: dict[int, None] = {}
        self._written: dict[str, Written] | None = None
        self._closed = False
        self._lock, self._writing = threading.Lock(), threading.Lock()
        if study.best is not None:
            self._note(study.best)

    @property
    def behind(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._due)

    def refresh(self, now: bool = False) -> None:
        """Note what changed, to be written soon; ``now``: before this returns, where the API server answers."""
        fresh = len(self._study.told) > self._counted
        at = self._clock.now()
        if not (fresh or now or at >= self._looked + OPEN_SECONDS):
            return
        self._looked = at
        for number in [*self._study.told[self._counted :], *self._study.open]:
            self._note(self._study.record(number))
        self._counted = len(self._study.told)
        self._forget()
        if now:
            self._write_now()
        else:
            self._later(SOON)

    def close(self) -> None:
        """Write nothing more: another one does, or the Experiment is gone, and perhaps made again by this name."""
        with self._lock:
            self._closed = True
            self._due.clear()

    def _later(self, delay: float) -> None:
        self._background.later(("trials", self._owner.uid), self._write_some, delay)

    def _write_now(self) -> None:
        try:
            self._write_some(AT_THE_END)
        except KubetunaError as error:
            log.warning("Trial objects are written later: %s", error)
            self._later(SOON)

    def _note(self, record: TrialRecord) -> None:
        with self._lock:
            if self._closed:
                return
            self._due[record.number] = record
            self._shown[record.number] = None

    def _forget(self) -> None:
        best = self._study.best
        kept = {*self._study.open, *([best.number] if best else [])}
        with self._lock:
            for number in [n for n in self._shown if n not in kept][: max(0, len(self._shown) - LATEST)]:
                del self._shown[number]
                self._due[number] = None

    def _write_some(self, most: int = BATCH) -> None:
        """Write a few; the others once other experiments had their turn, and what is refused a while later."""
        with self._writing:
            if self._written is None:
                self._written = self._known()
            with self._lock:
                taken = list(self._due.items())[:most]
            written = [self._settle(number, record, self._written) for number, record in taken]
        if self._due:
            self._later(0.0 if any(written) or not written else REFUSED_SECONDS)

    def _settle(self, number: int, record: TrialRecord | None, known: dict[str, Written]) -> bool:
        """Write one, which is due until then; what is refused comes after all others."""
        done = self._write(number, record, known)
        with self._lock:
            if self._due.get(number, ...) is record:
                del self._due[number]
                if not done:
                    self._due[number] = record
        return done

    def _known(self) -> dict[str, Written]:
        """What an earlier process wrote, so that it is not all written again."""
        known: dict[str, Written] = {}
        token: str | None = None
        while True:
            query = {"labelSelector": f"{LABEL_EXPERIMENT}={self._owner.name}", "limit": PAGE, "continue": token}
            page = self._api.get(self._path, **query)
            for trial in page["items"]:
                known |= written(trial, self._owner)
            token = page["metadata"].get("continue")
            if not token:
                return known

    def _write(self, number: int, record: TrialRecord | None, known: dict[str, Written]) -> bool:
        """Write or delete one; False where the API server refuses it."""
        name = f"{self._owner.name}-{number}"
        try:
            if record is None:
                self._api.delete(f"{self._path}/{name}", low_priority=True)
                known.pop(name, None)
            else:
                self._show(name, _status(record), known)
        except Refused as error:
            log.warning("Trial %s cannot be written: %s", name, error)
            return False
        return True

    def _show(self, name: str, status: dict[str, Any], known: dict[str, Written]) -> None:
        """Write a status where it says something new to what is there now."""
        for _ in range(TRIES):
            found = known.get(name)
            if _is_known(status, found):
                return
            try:
                known |= written(self._put(name, status, self._known_of_ours(name, known)), self._owner)
                return
            except Refused as error:
                if error.code not in (404, 409) or (error.code == 404 and found is None):
                    raise
            known.pop(name, None)
            known |= self._look(name)
        raise Unreachable(f"Trial {name} was changed again and again meanwhile")

    def _known_of_ours(self, name: str, known: dict[str, Written]) -> Written | None:
        """One of an earlier Experiment of this name goes: who watches it saw other parameters, and an end."""
        found = known.get(name)
        if found is None or found.ours:
            return found
        self._api.delete(f"{self._path}/{name}", uid=found.uid, low_priority=True)
        # Also where ours cannot be made now.
        del known[name]
        return None

    def _look(self, name: str) -> dict[str, Written]:
        found = self._api.find(f"{self._path}/{name}")
        return written(found, self._owner) if found is not None else {}

    def _put(self, name: str, status: Mapping[str, Any], found: Written | None) -> dict[str, Any]:
        return self._create(name, status) if found is None else self._change(name, status, found)

    def _create(self, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        return self._api.create(self._path, self._body(name, status), low_priority=True)

    def _change(self, name: str, status: Mapping[str, Any], found: Written) -> dict[str, Any]:
        body = self._body(name, _difference(found.status, status))
        body["metadata"]["resourceVersion"] = found.revision
        return self._api.merge(f"{self._path}/{name}", body, low_priority=True)

    def _body(self, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Trial",
            "metadata": {
                "name": name,
                "namespace": self._owner.namespace,
                "labels": {LABEL_EXPERIMENT: self._owner.name, LABEL_TRIAL: name.rpartition("-")[2]},
                "ownerReferences": [self._owner.reference()],
            },
            "status": status,
        }


def written(trial: object, owner: Owner) -> dict[str, Written]:
    """A Trial object by its name."""
    metadata, status = (mapping(mapping(trial).get(field)) for field in ("metadata", "status"))
    owners, name = mappings(metadata.get("ownerReferences")), text(metadata.get("name"))
    ours = any(one.get("uid") == owner.uid for one in owners)
    revision, uid = text(metadata.get("resourceVersion")), text(metadata.get("uid"))
    return {name: Written(status, revision, ours, uid)} if name else {}


def _is_known(status: Mapping[str, Any], found: Written | None) -> bool:
    """Whether nothing is to be written: all is there, or what is there is newer: told is never open again."""
    if found is None or not found.ours:
        return False
    return found.status == status or (
        status["state"] in OPEN_STATES and found.status.get("state") not in OPEN_STATES
    )


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What makes of one object another, as a merge patch says it."""
    found: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        had = before.get(name)
        if isinstance(had, Mapping) and isinstance(value, Mapping):
            found |= {name: inner} if (inner := _difference(had, value)) else {}
        elif had != value:
            found[name] = value
    return found


def _status(record: TrialRecord) -> dict[str, Any]:
    shown = record.as_json()
    shown["steps"] = _thinned(shown["steps"])
    shown["attempts"] = [{k: v for k, v in a.items() if v is not None} for a in shown["attempts"][-ATTEMPTS:]]
    if record.state == "COMPLETE" and record.series:
        shown["series"] = {name: _summed(values) for name, values in record.series.items()}
    shown["value"] = str(record.values[0]) if record.values else ""
    shown["summary"] = " ".join(f"{name}={short(value)}" for name, value in record.params.items())[:SUMMARY_LIMIT]
    return dict(fitted({name: value for name, value in shown.items() if value is not None}, BYTES, DIVISIBLE))


def _summed(values: Sequence[float]) -> list[float]:
    """Sums over equal runs of neighbours, so that a bounded number remains and their total is the same."""
    run = max(1, -(-len(values) // SERIES_POINTS))
    return [_short(sum(values[i : i + run])) for i in range(0, len(values), run)]


def _short(value: float) -> float:
    """With six digits; a whole number says what it says with all of them only."""
    return value if float(value).is_integer() else float(f"{value:.6g}")


def _thinned(steps: list[Any]) -> list[Any]:
    """At most as many points as are shown, the last one among them."""
    if len(steps) <= CURVE_POINTS:
        return steps
    stride = -(-len(steps) // (CURVE_POINTS - 1))
    return [*steps[:-1:stride], steps[-1]]
