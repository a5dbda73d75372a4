"""One Experiment being carried out: its study opened, the core's reconciler run, its status shown.

A runner lives for one generation of the spec; an edit ends it and begins another, which goes on from the study.
Nothing that matters is only in its memory.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kubetuna.errors import (
    ForeignTrials,
    Problem,
    SpecError,
    StoreError,
    StoreFenced,
    StudyMismatch,
    StudyNotFound,
)
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import grace_seconds, resource_units
from kubetuna.parsing.parse import parse_experiment
from kubetuna.planning.stopping import StopDecision, is_over
from kubetuna.reconciling.reconciler import Ports, Reconciler
from kubetuna.store.reader import read_study
from kubetuna.study.open import Opened, open_study
from kubetuna.trials.records import EXPERIMENT
from kubetuna.trials.snapshot import Snapshot
from kubetuna_operator.context import ExperimentRef, OperatorContext, Store
from kubetuna_operator.experiment.status_renderer import Publisher, refusal, unreachable_store
from kubetuna_operator.experiment.status_writer import StatusWriter
from kubetuna_operator.experiment.trial_objects import TrialObjects
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.telemetry import COMMIT_SECONDS, EXPERIMENTS, RECONCILE_SECONDS, STORE_ERRORS
from kubetuna_operator.workloads.executor import PodExecutor
from kubetuna_operator.workloads.pod_logs import PodLogs

log = logging.getLogger(__name__)

T = TypeVar("T")
STORE_RETRY_SECONDS = 2.0
# Deleting an Experiment must end although the database is gone, or a node that never answers again.
DELETION_SECONDS = 60.0


def study_name(owner: Owner) -> str:
    """Readable in the dashboard, and another one for an Experiment made anew under the same name."""
    return f"{owner.namespace}/{owner.name}/{owner.uid[:8]}"


class Runner:
    """Runs one Experiment object in a thread. ``fenced`` is called where another operator took the study over."""

    def __init__(
        self,
        context: OperatorContext,
        obj: Mapping[str, Any],
        done: Callable[[Runner], None],
        fenced: Callable[[], None],
    ) -> None:
        metadata, status = obj["metadata"], obj.get("status") or {}
        self.owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
        self.generation = int(metadata.get("generation", 1))
        ended = status.get("state") in ("Succeeded", "Failed") and bool(status.get("trials"))
        self.ref = ExperimentRef(self.owner, self.generation, ended)
        self._context, self._obj, self._done, self._fenced = context, obj, done, fenced
        self.failed = False
        self._left = threading.Event()
        self._deleted_at: float | None = None
        self._wake = context.pods.changes(self.owner.uid)
        self._writer = StatusWriter(context, self.owner, status)
        self._log = logging.LoggerAdapter(log, self.ref.extra)
        self._thread = supervised(f"run-{self.owner.name}", self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def leave(self) -> None:
        """Stop after the turn at hand; what runs goes on running."""
        self._left.set()
        self._wake.set()

    @property
    def left(self) -> bool:
        """Whether it was asked to stop before the experiment's end."""
        return self._left.is_set()

    def delete(self) -> None:
        """Stop everything: the Experiment is being deleted."""
        self._deleted_at = self._deleted_at or self._context.clock.now()
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
        spec, problems = self._parsed()
        while not self._left.is_set():
            try:
                if problems:
                    spec = self._accepted_before()
                if spec is None:
                    self._writer.write(refusal(problems, self.generation, self._context.clock.now()))
                    return
                opened = self._open(spec)
                if opened is None or self._run_opened(spec, opened, problems) is not None:
                    return
            except StudyMismatch as error:
                problems = (Problem("spec", str(error)),)
            except ForeignTrials as error:
                self._log.warning("%s; the study is read again", error)

    def _parsed(self) -> tuple[Experiment | None, tuple[Problem, ...]]:
        document = {k: self._obj.get(k) for k in ("apiVersion", "kind", "spec")}
        document["metadata"] = {"name": self.owner.name, "namespace": self.owner.namespace}
        try:
            return parse_experiment(document), ()
        except SpecError as error:
            return None, error.problems

    def _accepted_before(self) -> Experiment | None:
        """The spec that the study has, for one that was edited into something that cannot be: what runs goes on."""
        study = self._patiently(self._stored)
        try:
            return parse_experiment(study) if study else None
        except SpecError:
            # Taken by a version that refused less.
            return None

    def _stored(self) -> Mapping[str, Any] | None:
        try:
            study = read_study(self._context.store.database, study_name(self.owner))
        except StudyNotFound:
            return None
        found: Mapping[str, Any] | None = study.system_attrs.get(EXPERIMENT)
        return found

    def _open(self, spec: Experiment) -> Opened | None:
        context, name = self._context, study_name(self.owner)
        return self._patiently(
            lambda: open_study(
                context.store.database,
                spec,
                name,
                context.identity,
                context.clock.now(),
                lambda: secrets.randbits(31),
            )
        )

    def _patiently(self, ask: Callable[[], T]) -> T | None:
        """Ask the database, waiting for it as long as it takes, or as long as a deletion may."""
        context = self._context
        while not self._left.is_set():
            try:
                context.store.ensure()
                return ask()
            except (StoreFenced, StudyMismatch, ForeignTrials, StudyNotFound):
                raise
            except StoreError as error:
                STORE_ERRORS.inc()
                self._log.warning("%s", error)
                self._writer.write(unreachable_store(str(error), self.generation, context.clock.now()))
            if self._deletion_is_late(0.0):
                return None
            self._left.wait(STORE_RETRY_SECONDS)
        return None

    def _deletion_is_late(self, grace: float) -> bool:
        since = self._deleted_at
        return since is not None and self._context.clock.now() > since + DELETION_SECONDS + grace

    def _run_opened(self, spec: Experiment, opened: Opened, problems: tuple[Problem, ...]) -> StopDecision | None:
        context = self._context
        executor = PodExecutor(context, spec, self.ref)
        logs = PodLogs(context, self.ref, spec.template.primary_container, executor)
        publisher = Publisher(context, self._writer, spec, self.ref, opened.study, executor.stalled)
        publisher.problem = "\n".join(str(problem) for problem in problems)
        trial_objects = TrialObjects(context, self.owner, opened.study)
        grace = grace_seconds(spec.template.trial_spec)

        def show(snapshot: Snapshot, end: StopDecision | None) -> None:
            if not is_over(snapshot, end):
                trial_objects.refresh()
                publisher.publish(snapshot, end)

        def unavailable(message: str) -> None:
            STORE_ERRORS.inc()
            context.store.problem = message
            publisher.publish(reconciler.last, None, force=True)

        ports = Ports(executor, logs, context.clock, show, unavailable)
        reconciler = _MeasuredReconciler(
            spec, opened.study, ports, opened.started, resource_units(spec), lambda: self._deleted_at is not None
        )
        reconciler.store = context.store
        end = reconciler.run(lambda: self._left.is_set() or self._deletion_is_late(grace))
        if end is not None:
            # Trials first: whoever sees the end in the status finds all of them.
            trial_objects.refresh(now=True)
            publisher.publish(reconciler.observe(), end, force=True)
        elif not self._left.is_set():
            end = StopDecision("ExperimentDeleted", "", stop_running=True)
        return end


class _MeasuredReconciler(Reconciler):
    """The core's reconciler, its turns and commits measured. A successful commit shows that the store is back."""

    store: Store

    def turn(self, snapshot: Snapshot, now: float) -> tuple[bool, float]:
        with RECONCILE_SECONDS.labels("experiment").time():
            return super().turn(snapshot, now)

    def _flush(self) -> bool:
        if not self.study.pending:
            return super()._flush()
        failpoint("flushing")
        with COMMIT_SECONDS.time():
            done = super()._flush()
        if done:
            self.store.problem = ""
        failpoint("flushed")
        return done
