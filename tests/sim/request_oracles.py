"""What an operator may ask the API server for: by right of its Lease and of its studies, and how often."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Protocol

from kubetuna.store.fencing import EPOCH
from kubetuna_operator import ANNOTATION_EXPERIMENT
from kubetuna_operator.kube.leader import DURATION, NAME
from tests.apiserver.cluster import Cluster
from tests.apiserver.resources import EVENTS, LEASES, TRIALS, Object, find_target
from tests.sim.administration import OWN_NAMESPACE
from tests.sim.people import Fate
from tests.sim.pod_deeds import COPY
from tests.sim.stored import StoredStudies

# Requests of one process within so many seconds.
STORM_SECONDS, STORM = 10.0, 400
# In that time an Experiment may plan so many turns that are so near.
SOON, HASTE = 0.5, 30
# And of one life of it for one object that it would make: waited for is twice as long each time.
PATIENT_SECONDS, PATIENT = 60.0, 15
# And of what it would delete, and was told is gone.
IN_VAIN = 5
# Of one process, whatever fails: to open a study reads all of it.
OPENING_SECONDS, OPENINGS = 20.0, 30
# To renew a Lease takes a look at it and a write at most.
HEARD = 3
# After so long nothing is left of the last fault that keeps an operator from renewing its Lease.
CALMED = 10 * DURATION


class Owned(Protocol):
    """An Experiment that was seen."""

    @property
    def study(self) -> str:
        """Its study's name."""


class RequestOracles:
    """``known`` are the Experiments by their UIDs; what may not be is given to ``report``."""

    def __init__(
        self,
        cluster: Cluster,
        stored: StoredStudies,
        fate: Fate,
        known: Mapping[str, Owned],
        report: Callable[[str], None],
    ) -> None:
        self._cluster, self._stored, self._fate, self._known, self._report = cluster, stored, fate, known, report
        self._lease_deleted = float("-inf")
        # When a process last opened a study, or tried to.
        self._opened_at: dict[str, float] = {}
        self._requests: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def lease_deleted(self) -> None:
        """Somebody has deleted the Lease just now."""
        self._lease_deleted = self._cluster.clock.now()

    def requested(self, process: str, method: str, path: str) -> None:
        """A process asks the API server for something."""
        if method != "GET" and "/leases" not in path:
            self._check_leads(process, f"{method} {path}")
        if method != "GET" and f"/pods/{COPY}" in path:
            self._report(f"{process} sends {method} {path}, which is a person's")
        if self._too_many((process, ""), STORM_SECONDS, STORM):
            self._report(f"{process} makes over {STORM} requests in {STORM_SECONDS:.0f} s")

    def wanted(self, process: str, kind: str, name: str) -> None:
        """A process wants to make an object. What only shows something is written as often as that changes."""
        shows = kind in (EVENTS.plural, TRIALS.plural)
        if not shows and self._too_many((process, f"{kind} {name}"), PATIENT_SECONDS, PATIENT):
            self._report(f"{process} asks over {PATIENT} times for {kind} {name} in {PATIENT_SECONDS:.0f} s")

    def deleted_in_vain(self, process: str, path: str) -> None:
        """A process was told that what it would delete is gone. A watch that is silent does not show that."""
        if self._too_many((process, f"DELETE {path}"), PATIENT_SECONDS, IN_VAIN):
            self._report(
                f"{process} deletes {path} over {IN_VAIN} times in {PATIENT_SECONDS:.0f} s though it is gone"
            )

    def planned_turn(self, process: str, name: str, seconds: float) -> None:
        """An Experiment plans its next turn. Where nothing happens it has no reason to do that so soon so often."""
        if seconds < SOON and self._too_many((process, f"turn of {name}"), STORM_SECONDS, HASTE):
            self._report(
                f"{process} looks at {name} over {HASTE} times in {STORM_SECONDS:.0f} s, and nobody asked it to"
            )

    def _too_many(self, what: tuple[str, str], seconds: float, most: int) -> bool:
        now, times = self._cluster.clock.now(), self._requests[what]
        times.append(now)
        while times[0] < now - seconds:
            times.popleft()
        return len(times) > most

    def opened(self, process: str) -> None:
        """A process has opened a study, or tried to: that reads all of it."""
        self._opened_at[process] = self._cluster.clock.now()
        if self._too_many((process, "openings"), OPENING_SECONDS, OPENINGS):
            self._report(f"{process} opens studies over {OPENINGS} times in {OPENING_SECONDS:.0f} s")

    def acted(self, process: str, path: str, made: Object | None, began: float) -> None:
        """A process writes to an object in a turn that ``began`` then; ``made``: the metadata of a new one."""
        target = find_target(path)
        if target is None:
            return
        found = self._cluster.server.objects.get(target.resource, (target.namespace or "", target.name or ""))
        metadata = made or (found["metadata"] if found is not None else {})
        owner = (metadata.get("annotations") or {}).get(ANNOTATION_EXPERIMENT)
        if owner not in self._known:
            return
        writer = json.loads(self._stored.attribute(self._known[owner].study, EPOCH) or "{}").get("writer", process)
        # Whoever had opened it by the time at which the turn began had taken it over.
        if writer != process and began > self._opened_at.get(writer, float("inf")):
            self._report(f"{process} writes to {metadata['name']}, of a study that {writer} has taken over")

    def leader(self) -> str | None:
        """Who has the Lease."""
        lease = self._cluster.server.objects.get(LEASES, (OWN_NAMESPACE, NAME))
        return lease["spec"]["holderIdentity"] if lease is not None else None

    def lost_lease(self, process: str, heard: int) -> None:
        """A process ends since it did not renew its Lease in time. So often in a row it was ``heard``."""
        if heard >= HEARD and self.leader() == process:
            self._report(f"{process} loses the Lease, which nobody else has, though {heard} requests were answered")
        if self._cluster.clock.now() > self._fate.fell_quiet + CALMED:
            self._report(f"{process} loses the Lease although nothing goes wrong")

    def _check_leads(self, process: str, request: str) -> None:
        holder = self.leader() or process
        # Who had renewed one that was deleted since cannot know that it is another's.
        if holder != process and self._cluster.clock.now() > self._lease_deleted + DURATION:
            self._report(f"{process} sends {request} while {holder} holds the Lease")
