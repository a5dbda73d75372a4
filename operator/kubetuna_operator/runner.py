"""One Experiment being carried out: its study opened, the core's engine turned, its status shown.

A runner lives for one generation of the spec; an edit ends it and begins another, which goes on from the study.
Nothing that matters is only in its memory.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine as Database

from kubetuna.ending import Ending
from kubetuna.engine import Engine, Ports
from kubetuna.errors import ForeignTrials, Problem, SpecError, StoreFenced, StoreUnavailable, StudyMismatch
from kubetuna.local.clock import SystemClock
from kubetuna.opening import Opened, open_study
from kubetuna.ports import Clock
from kubetuna.resources import resource_units
from kubetuna.snapshot import Snapshot
from kubetuna.spec.model import Experiment
from kubetuna.spec.parse import parse_experiment
from kubetuna_operator.pod_index import PodIndex
from kubetuna_operator.pod_logs import PodLogs
from kubetuna_operator.pod_place import PodPlace
from kubetuna_operator.pods import Owner
from kubetuna_operator.projection import TrialProjection
from kubetuna_operator.publisher import Publisher, StatusWriter, refusal, unreachable_store
from kubetuna_operator.telemetry import EXPERIMENTS, STORE_ERRORS
from kubetuna_operator.transport import Api

log = logging.getLogger(__name__)

STORE_RETRY_SECONDS = 2.0
# Deleting an Experiment must end although the database is gone.
DELETION_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all runners share."""

    api: Api
    pods: PodIndex
    database: Database
    identity: str
    clock: Clock = field(default_factory=SystemClock)


def study_name(owner: Owner) -> str:
    """Readable in the dashboard, and another one for an Experiment made anew under the same name."""
    return f"{owner.namespace}/{owner.name}/{owner.uid[:8]}"


class Runner:
    """Runs one Experiment object in a thread. ``fenced`` is called where another operator took the study over."""

    def __init__(
        self,
        around: Surroundings,
        obj: Mapping[str, Any],
        done: Callable[[Runner], None],
        fenced: Callable[[], None],
    ) -> None:
        metadata = obj["metadata"]
        self.owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
        self.generation = int(metadata.get("generation", 1))
        self.deleted = threading.Event()
        self._around, self._obj, self._done, self._fenced = around, obj, done, fenced
        self.failed = False
        self._left = threading.Event()
        self._wake = around.pods.changes(self.owner.uid)
        self._writer = StatusWriter(around.api, self.owner, obj.get("status") or {}, around.clock)
        self._log = logging.LoggerAdapter(log, {"experiment": f"{self.owner.namespace}/{self.owner.name}"})
        self._thread = threading.Thread(target=self._run, name=f"run-{self.owner.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def leave(self) -> None:
        """Stop after the turn at hand; what runs goes on running."""
        self._left.set()
        self._wake.set()

    def delete(self) -> None:
        """Stop everything: the Experiment is being deleted."""
        self.deleted.set()
        self._wake.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread."""
        self._thread.join(seconds)

    def _run(self) -> None:
        EXPERIMENTS.inc()
        try:
            self._carry_out()
        except StoreFenced:
            self._fenced()
        except Exception:
            self.failed = True
            self._log.exception("the experiment's runner failed; it is started again")
        finally:
            EXPERIMENTS.dec()
            self._done(self)

    def _carry_out(self) -> None:
        now = self._around.clock.now
        try:
            spec = parse_experiment({k: self._obj[k] for k in ("apiVersion", "kind", "metadata", "spec")})
        except SpecError as error:
            self._writer.write(refusal(error.problems, self.generation, now()))
            return
        while not self._left.is_set():
            try:
                opened = self._open(spec)
                if opened is None or self._run_opened(spec, opened) is not None:
                    return
            except StudyMismatch as error:
                self._writer.write(refusal((Problem("spec", str(error)),), self.generation, now()))
                return
            except ForeignTrials as error:
                self._log.warning("%s; the study is read again", error)

    def _open(self, spec: Experiment) -> Opened | None:
        """The study, waiting for the database as long as it takes, or as long as a deletion may."""
        around = self._around
        patience = around.clock.now() + DELETION_SECONDS
        while not self._left.is_set():
            try:
                name = study_name(self.owner)
                return open_study(
                    around.database, spec, name, around.identity, around.clock.now(), lambda: secrets.randbits(31)
                )
            except StoreUnavailable as error:
                STORE_ERRORS.inc()
                self._log.warning("%s", error)
                self._writer.write(unreachable_store(str(error), self.generation, around.clock.now()))
            if self.deleted.is_set() and around.clock.now() > patience:
                return None
            self._left.wait(STORE_RETRY_SECONDS)
        return None

    def _run_opened(self, spec: Experiment, opened: Opened) -> Ending | None:
        around = self._around
        place = PodPlace(around.api, around.pods, spec, self.owner, around.clock)
        container = spec.template.primary_container
        logs = PodLogs(around.api, self.owner.namespace, container, place.find, place.running, place.over)
        publisher = Publisher(
            self._writer, spec, self.generation, opened.study.records, place.stalled, around.clock
        )
        projection = TrialProjection(around.api, self.owner, spec, opened.study.records, around.clock)
        give_up = around.clock.now() + DELETION_SECONDS

        def show(snapshot: Snapshot, end: Ending | None) -> None:
            publisher.store_problem = ""
            # Trials first: whoever sees the end in the status finds all of them.
            projection.refresh(snapshot.tally.ended)
            publisher.publish(snapshot, end)

        def unavailable(message: str) -> None:
            STORE_ERRORS.inc()
            publisher.store_problem = message
            publisher.publish(engine.last, None, force=True)

        def interrupted() -> bool:
            stuck = self.deleted.is_set() and around.clock.now() > give_up and bool(publisher.store_problem)
            return self._left.is_set() or stuck

        ports = Ports(place, logs, around.clock, show, unavailable)
        engine = _DeletableEngine(spec, opened, ports, self.deleted)
        end = engine.run(interrupted)
        if end is not None:
            projection.refresh(-1)
            publisher.publish(engine.observe(), end, force=True)
        elif not self._left.is_set():
            end = Ending("ExperimentDeleted", "", stop_running=True)
        return end


class _DeletableEngine(Engine):
    """The core's engine, told when its Experiment is being deleted."""

    def __init__(self, spec: Experiment, opened: Opened, ports: Ports, deleted: threading.Event) -> None:
        super().__init__(spec, opened.study, ports, opened.started, resource_units(spec))
        self._deleted = deleted
        self.last = Snapshot(spec)

    def observe(self) -> Snapshot:
        """What the engine sees, and whether the Experiment goes."""
        self.last = super().observe()
        if self._deleted.is_set():
            self.last = replace(self.last, deleted=True)
        return self.last
