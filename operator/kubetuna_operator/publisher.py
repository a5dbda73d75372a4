"""The Experiment's status in the cluster: rendered from snapshots, applied only where it says something new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubetuna.ending import Ending
from kubetuna.errors import Problem
from kubetuna.ports import Clock
from kubetuna.records import TrialRecord, timestamp
from kubetuna.resources import resource_unit
from kubetuna.snapshot import Snapshot
from kubetuna.spec.model import Experiment
from kubetuna.status import Condition, Moment, render, results_of
from kubetuna_operator import FIELD_MANAGER, GROUP, VERSION
from kubetuna_operator.pods import Owner
from kubetuna_operator.transport import Api, Refused, Unreachable, collection

# Status writes would otherwise be most of what a busy experiment asks of the API server.
SECONDS_BETWEEN = 1.0
MESSAGE_LIMIT = 4_000


class StatusWriter:
    """Applies the status of one Experiment, keeping the times at which conditions last changed."""

    def __init__(self, api: Api, owner: Owner, known: Mapping[str, Any], clock: Clock) -> None:
        self._api, self._owner, self._clock = api, owner, clock
        self._path = f"{collection('experiments', owner.namespace)}/{owner.name}/status"
        self._applied: dict[str, Any] = {}
        self._conditions = {c["type"]: c for c in known.get("conditions") or []}
        self._at = 0.0

    def due(self) -> bool:
        """Whether the last write lies long enough back."""
        return self._clock.now() >= self._at + SECONDS_BETWEEN

    def write(self, status: Mapping[str, Any]) -> None:
        """Apply a status unless it is as it was, but for the time."""
        status = {**status, "conditions": [self._dated(c) for c in status.get("conditions") or []]}
        if _without_time(status) == _without_time(self._applied):
            return
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Experiment",
            "metadata": {"name": self._owner.name, "namespace": self._owner.namespace, "uid": self._owner.uid},
            "status": status,
        }
        try:
            self._api.apply(self._path, body, FIELD_MANAGER)
        except Unreachable:
            return
        except Refused as error:
            # Gone, or another one of the same name: then there is nobody to tell.
            if error.code not in (404, 409, 422):
                raise
        self._applied, self._at = dict(status), self._clock.now()
        self._conditions = {c["type"]: c for c in status["conditions"]}

    def _dated(self, condition: Mapping[str, Any]) -> dict[str, Any]:
        before = self._conditions.get(condition["type"])
        if before is not None and before["status"] == condition["status"]:
            return {**condition, "lastTransitionTime": before["lastTransitionTime"]}
        return dict(condition)


def _without_time(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in status.items() if k != "lastReconcileTime"}
    # Time alone moves the clock figures of a running experiment; they come along with the next real change.
    kept["spent"] = (status.get("spent") or {}).get("steps")
    return kept


class Publisher:
    """Turns snapshots into statuses. ``records`` gives the study's trials, ``stalled`` why Pods do not start."""

    def __init__(
        self,
        writer: StatusWriter,
        spec: Experiment,
        generation: int,
        records: Callable[[], tuple[TrialRecord, ...]],
        stalled: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._writer, self._spec, self._generation = writer, spec, generation
        self._records, self._stalled, self._clock = records, stalled, clock
        self._results = results_of(spec, records())
        self._ended = -1
        self.store_problem = ""

    def publish(self, snapshot: Snapshot, end: Ending | None, force: bool = False) -> None:
        """Show a snapshot, at most once a second unless a trial ended or the experiment did."""
        fresh = snapshot.tally.ended != self._ended
        if not (fresh or force or end is not None or self._writer.due()):
            return
        if fresh:
            self._results = results_of(self._spec, self._records())
            self._ended = snapshot.tally.ended
        self._writer.write(self.status(snapshot, end))

    def status(self, snapshot: Snapshot, end: Ending | None) -> dict[str, Any]:
        """The status of a snapshot, with the cluster's own conditions."""
        stalled = self._stalled()
        moment = Moment(
            self._clock.now(),
            self._generation,
            resource_unit(self._spec),
            (
                Condition("Accepted", True, "SpecValid"),
                store_condition(self.store_problem),
                Condition("Stalled", bool(stalled), "PodsWaiting" if stalled else "NothingWaits", stalled),
            ),
        )
        return render(snapshot, end, self._results, moment)


def store_condition(problem: str) -> Condition:
    """Whether the database can be reached."""
    return Condition("StoreReady", not problem, "StoreUnavailable" if problem else "Connected", problem[:1000])


def refusal(problems: tuple[Problem, ...], generation: int, now: float) -> dict[str, Any]:
    """The status of an Experiment that cannot run: every error at once, each with its field's path."""
    message = "\n".join(str(problem) for problem in problems)[:MESSAGE_LIMIT]
    return _bare(Condition("Accepted", False, "SpecInvalid", message), "Failed", generation, now, message)


def unreachable_store(problem: str, generation: int, now: float) -> dict[str, Any]:
    """The status while the database cannot be reached for the first time."""
    return _bare(store_condition(problem), "Created", generation, now, "waiting for the database")


def _bare(condition: Condition, state: str, generation: int, now: float, message: str) -> dict[str, Any]:
    found = {
        "type": condition.type,
        "status": "True" if condition.status else "False",
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": timestamp(now),
    }
    return {"conditions": [found], "state": state, "observedGeneration": generation, "message": message}
