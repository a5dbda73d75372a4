"""Trial objects: a read-only picture of the study for people with a kubeconfig and no database password.

Written lazily, never read back to decide, bounded: the open trials, the best, and the latest thousand. Deleting one
does no harm; the next change writes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kubetuna.ports import Clock
from kubetuna.records import TrialRecord
from kubetuna.spec.model import Experiment
from kubetuna.status import best_of
from kubetuna_operator import FIELD_MANAGER, GROUP, LABEL_EXPERIMENT, LABEL_TRIAL, VERSION
from kubetuna_operator.pods import Owner
from kubetuna_operator.transport import Api, Refused, Unreachable, collection

LATEST = 1_000
CURVE_POINTS = 50
# Enough for the statistics of a report; at 6 digits some three kilobytes a trial.
SERIES_POINTS = 250
SECONDS_BETWEEN = 5.0
OPEN = ("RUNNING", "WAITING")


class TrialProjection:
    """Keeps the Trial objects of one Experiment in step with its study."""

    def __init__(
        self, api: Api, owner: Owner, spec: Experiment, records: Callable[[], tuple[TrialRecord, ...]], clock: Clock
    ) -> None:
        self._api, self._owner, self._spec, self._records, self._clock = api, owner, spec, records, clock
        self._path = collection("trials", owner.namespace)
        self._written: dict[int, dict[str, Any]] = {}
        self._ended, self._at = -1, 0.0

    def refresh(self, ended: int) -> None:
        """Write what changed: at once when a trial ended, else every few seconds. -1 forces it."""
        now = self._clock.now()
        if ended == self._ended and now < self._at + SECONDS_BETWEEN:
            return
        self._ended, self._at = ended, now
        own = [r for r in self._records() if r.own]
        best = best_of(self._spec, own) if not self._spec.multi_objective else None
        first = max(0, len(own) - LATEST)
        try:
            for record in own:
                if record.number >= first or record.state in OPEN or (best and record.number == best.number):
                    self._write(record)
                elif record.number in self._written:
                    self._api.delete(f"{self._path}/{self._name(record)}")
                    del self._written[record.number]
        except (Unreachable, Refused):
            # The next change tries again; nobody waits for it.
            return

    def _name(self, record: TrialRecord) -> str:
        return f"{self._owner.name}-{record.number}"

    def _write(self, record: TrialRecord) -> None:
        status = self._status(record)
        if self._written.get(record.number) == status:
            return
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Trial",
            "metadata": {
                "name": self._name(record),
                "namespace": self._owner.namespace,
                "labels": {LABEL_EXPERIMENT: self._owner.name, LABEL_TRIAL: str(record.number)},
                "ownerReferences": [self._owner.reference()],
            },
            "status": status,
        }
        self._api.apply(f"{self._path}/{self._name(record)}", body, FIELD_MANAGER)
        self._written[record.number] = status

    def _status(self, record: TrialRecord) -> dict[str, Any]:
        shown = record.as_json()
        shown["steps"] = _thinned(shown["steps"])
        shown["attempts"] = shown["attempts"][-10:]
        if record.state == "COMPLETE" and record.series:
            shown["series"] = {name: _summed(values) for name, values in record.series.items()}
        shown["value"] = str(record.values[0]) if record.values else ""
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
