"""Leader election with a Lease: one operator works, the others wait.

What keeps a stale leader from writing to a study is the study's epoch; to the API server, ``holds``, which is asked
before each write. A Lease counts as expired by the time that *we* saw it unchanged, so clocks need not agree; one
whose holder's Pod is gone or ended is taken at once. Whoever led and finds that another one held the Lease since
leads no more, also where it could be had again: what it knows is old.
``look`` is one step; what waits between two of them is a shell around it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kubetuna_operator.kube.api_client import Api, Refused, Unreachable, collection
from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.telemetry import LEADER

log = logging.getLogger(__name__)

NAME = "kubetuna-operator"
DURATION, RENEW_WITHIN, RETRY = 15.0, 10.0, 2.0
# A request that hangs must be given up while the Lease is still ours.
ANSWER_SECONDS = 3.0


class Leadership:
    """Holds, or waits for, the Lease of a namespace. ``clock`` measures, ``wall`` tells the time of day."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._api, self._namespace, self._identity = api.within(ANSWER_SECONDS), namespace, identity
        self._clock, self._wall = clock, wall
        self._tried = clock()
        # When the renewal that was answered last was sent, and which holding of the Lease it renewed.
        self._held: float | None = None
        self._term: int | None = None
        self._passed_on = False
        self._leases = collection("leases", namespace)
        # As we wrote it last: it is renewed without being read; that is a conflict where anybody wrote to it since.
        self._ours: dict[str, Any] | None = None
        self._seen: tuple[str, float] = ("", 0.0)
        self._ended = threading.Event()

    def look(self) -> bool:
        """Take the Lease where it can be had, renew it where it is ours; whether it is ours now."""
        sent = self._clock()
        held = not self._passed_on and self._try()
        if held:
            LEADER.labels(NAME).set(1)
            self._held = sent
        return held

    def holds(self) -> bool:
        """Whether nobody else can hold it: it was renewed so short a time ago that it has not run out."""
        return self._held is not None and not self._passed_on and self._clock() <= self._held + RENEW_WITHIN

    @property
    def lost(self) -> bool:
        """Whether it was ours, and is another's or could not be renewed for too long."""
        return self._held is not None and not self.holds()

    def acquire(self, stopped: threading.Event) -> bool:
        """Wait until we hold the Lease; False where ``stopped`` came first."""
        while not stopped.is_set():
            if self.look():
                return True
            stopped.wait(RETRY)
        return False

    def keep(self, lost: Callable[[], None]) -> None:
        """Renew in a thread of its own; call ``lost`` where that fails for too long."""
        supervised("lease", self._renew, lost).start()

    def silent(self) -> float:
        """Seconds since the Lease was last looked at, with or without success."""
        return self._clock() - self._tried

    def release(self) -> None:
        """Let the next one take over at once."""
        self._ended.set()
        LEADER.labels(NAME).set(0)
        try:
            lease = self._api.get(f"{self._leases}/{NAME}")
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._api.replace(f"{self._leases}/{NAME}", lease)
        except (Refused, Unreachable):
            # A courtesy on the way out: a Lease that is not given back runs out.
            pass
        except Exception:
            log.exception("the Lease cannot be read")

    def _renew(self, lost: Callable[[], None]) -> None:
        if self._held is None:
            self._held = self._clock()
        while not self._ended.wait(RETRY):
            if not self.look() and self.lost:
                LEADER.labels(NAME).set(0)
                lost()
                return

    def _try(self) -> bool:
        try:
            return self._take()
        except (Refused, Unreachable):
            return False
        except Exception:
            # A Lease, or a holder's Pod, that cannot be read is nobody's to take, and ours is then not renewed.
            log.exception("the Lease cannot be read")
            return False
        finally:
            self._tried = self._clock()

    def _take(self) -> bool:
        ours, self._ours = self._ours, None
        if ours is not None:
            try:
                return self._write(ours)
            except Refused as error:
                if error.code not in (404, 409):
                    raise
        lease = self._api.find(f"{self._leases}/{NAME}")
        if lease is None:
            return self._make()
        spec = lease.get("spec") or {}
        holder, term = spec.get("holderIdentity") or "", int(spec.get("leaseTransitions") or 0)
        if self._term is not None and (holder, term) != (self._identity, self._term):
            self._passed_on = True
            return False
        if holder not in ("", self._identity) and not self._expired(spec, holder):
            return False
        return self._write(lease)

    def _write(self, lease: dict[str, Any]) -> bool:
        spec = self._spec(lease.get("spec") or {}, self._term is None)
        self._ours = self._api.replace(f"{self._leases}/{NAME}", {**lease, "spec": spec})
        self._term = spec["leaseTransitions"]
        return True

    def _make(self) -> bool:
        """There is no Lease: someone deleted it, and another one may have had its own since."""
        if self._term is not None and not self.holds():
            self._passed_on = True
            return False
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}}
        spec = self._spec({"leaseTransitions": self._term or 0}, self._term is None)
        self._api.create(self._leases, {**body, "spec": spec})
        self._term = spec["leaseTransitions"]
        return True

    def _expired(self, spec: dict[str, Any], holder: str) -> bool:
        (before, _), mark = self._seen, f"{holder} {spec.get('renewTime')}"
        if mark != before:
            self._seen = (mark, self._clock())
            if before:
                # It was renewed since the last look, so its holder needs no look.
                return False
        return self._clock() > self._seen[1] + DURATION or self._holder_is_gone(holder)

    def _holder_is_gone(self, holder: str) -> bool:
        try:
            pod = self._api.get(f"{collection('pods', self._namespace)}/{holder}")
        except Refused as error:
            # A holder outside the cluster has no Pod; only its silence tells.
            return error.code == 404 and holder.startswith("kubetuna-operator-")
        status = pod.get("status") or {}
        states = [c.get("state") or {} for c in status.get("containerStatuses") or []]
        # Whether it ended or waits to be started again: whoever held the Lease in it is gone.
        idle = bool(states) and not any("running" in state for state in states)
        return idle or status.get("phase") in ("Succeeded", "Failed")

    def _spec(self, before: dict[str, Any], taken: bool) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": now if taken else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + taken,
        }
