"""Trial objects: a read-only view of the study for people with a kubeconfig and no database password.

Written in the background, never read back to decide, bounded: the open trials, the best, and the latest thousand.
Deleting one does no harm; the next change writes it again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from kubetuna.study.study import Study
from kubetuna.trials.environment import short
from kubetuna.trials.records import TrialRecord
from kubetuna_operator import FIELD_MANAGER, GROUP, LABEL_EXPERIMENT, LABEL_TRIAL, VERSION
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from kubetuna_operator.kube.objects import Owner, mapping, mappings, whole
from kubetuna_operator.kube.reflector import PAGE

log = logging.getLogger(__name__)

LATEST = 1_000
CURVE_POINTS = 50
ATTEMPTS = 10
SUMMARY_LIMIT = 200
# Seconds between two looks at the open trials, and from a change until it is written.
OPEN_SECONDS, SOON = 5.0, 1.0
# Enough for the statistics of a report; at 6 digits some three kilobytes a trial.
SERIES_POINTS = 250


class TrialObjects:
    """Keeps the Trial objects of one Experiment in step with its study."""

    def __init__(self, context: OperatorContext, owner: Owner, study: Study) -> None:
        self._api, self._background, self._clock = context.api, context.deferred, context.clock
        self._owner, self._study = owner, study
        self._path = collection("trials", owner.namespace)
        self._counted = max(0, len(study.told) - LATEST)
        self._looked = 0.0
        self._changed: dict[int, TrialRecord] = {}
        self._dropped: set[int] = set()
        self._shown: dict[int, None] = {}
        self._written: dict[int, dict[str, Any]] | None = None
        self._lock, self._writing = threading.Lock(), threading.Lock()
        if study.best is not None:
            self._note(study.best)

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
            self._background.later(self._key, self._write_all, SOON)

    @property
    def _key(self) -> tuple[str, str]:
        return ("trials", self._owner.uid)

    def _write_now(self) -> None:
        try:
            self._write_all()
        except Unreachable:
            self._background.later(self._key, self._write_all, SOON)

    def _note(self, record: TrialRecord) -> None:
        with self._lock:
            self._changed[record.number] = record
            self._shown[record.number] = None

    def _forget(self) -> None:
        best = self._study.best
        kept = {*self._study.open, *([best.number] if best else [])}
        with self._lock:
            for number in [n for n in self._shown if n not in kept][: max(0, len(self._shown) - LATEST)]:
                del self._shown[number]
                self._changed.pop(number, None)
                self._dropped.add(number)

    def _write_all(self) -> None:
        """Write what was noted since the last time."""
        with self._writing:
            with self._lock:
                changed, self._changed = self._changed, {}
                dropped, self._dropped = self._dropped, set()
            try:
                if self._written is None:
                    self._written = self._known()
                for number in sorted(changed):
                    self._write(changed[number])
                    del changed[number]
                for number in sorted(dropped):
                    self._api.delete(f"{self._path}/{self._owner.name}-{number}", low_priority=True)
                    self._written.pop(number, None)
                    dropped.discard(number)
            except Refused as error:
                log.warning("Trial objects cannot be written: %s", error)
            except Unreachable:
                with self._lock:
                    self._changed = {**changed, **self._changed}
                    self._dropped |= dropped
                raise

    def _known(self) -> dict[int, dict[str, Any]]:
        """What an earlier process wrote, so that it is not all written again."""
        known: dict[int, dict[str, Any]] = {}
        token: str | None = None
        while True:
            query = {"labelSelector": f"{LABEL_EXPERIMENT}={self._owner.name}", "limit": PAGE, "continue": token}
            page = self._api.get(self._path, **query)
            for trial in page["items"]:
                known |= written(trial, self._owner)
            token = page["metadata"].get("continue")
            if not token:
                return known

    def _write(self, record: TrialRecord) -> None:
        status = _status(record)
        assert self._written is not None
        if self._written.get(record.number) == status:
            return
        name = f"{self._owner.name}-{record.number}"
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Trial",
            "metadata": {
                "name": name,
                "namespace": self._owner.namespace,
                "labels": {LABEL_EXPERIMENT: self._owner.name, LABEL_TRIAL: str(record.number)},
                "ownerReferences": [self._owner.reference()],
            },
            "status": status,
        }
        self._api.apply(f"{self._path}/{name}", body, FIELD_MANAGER, low_priority=True)
        self._written[record.number] = status


def written(trial: object, owner: Owner) -> dict[int, dict[str, Any]]:
    """The status of a Trial object by its number; nothing where it is another's, or has to be written anew."""
    metadata, status = (mapping(mapping(trial).get(field)) for field in ("metadata", "status"))
    owners, number = mappings(metadata.get("ownerReferences")), whole(status.get("number"))
    ours = bool(owners) and owners[0].get("uid") == owner.uid
    return {number: dict(status)} if ours and number is not None else {}


def _status(record: TrialRecord) -> dict[str, Any]:
    shown = record.as_json()
    shown["steps"] = _thinned(shown["steps"])
    shown["attempts"] = [{k: v for k, v in a.items() if v is not None} for a in shown["attempts"][-ATTEMPTS:]]
    if record.state == "COMPLETE" and record.series:
        shown["series"] = {name: _summed(values) for name, values in record.series.items()}
    shown["value"] = str(record.values[0]) if record.values else ""
    shown["summary"] = " ".join(f"{name}={short(value)}" for name, value in record.params.items())[:SUMMARY_LIMIT]
    return {name: value for name, value in shown.items() if value is not None}


def _summed(values: Sequence[float]) -> list[float]:
    """Sums over equal runs of neighbours, so that a bounded number remains and their total is the same."""
    run = max(1, -(-len(values) // SERIES_POINTS))
    return [float(f"{sum(values[i : i + run]):.6g}") for i in range(0, len(values), run)]


def _thinned(steps: list[Any]) -> list[Any]:
    """At most as many points as are shown, the last one among them."""
    if len(steps) <= CURVE_POINTS:
        return steps
    stride = -(-len(steps) // (CURVE_POINTS - 1))
    return [*steps[:-1:stride], steps[-1]]
