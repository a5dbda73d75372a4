"""One Experiment being carried out, a turn at a time: opened, stepped to its end, its status shown.

A turn never waits: what takes long, opening a study or asking a slow sampler, is done beside, and a later turn
takes its result up. A run lives for one generation of the spec; an edit ends it and begins another, which goes on
from the study. Nothing that matters is only in its memory, so what fails is opened anew, after a wait that grows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from kubetuna.errors import ForeignTrials, StoreError, StoreFenced
from kubetuna.experiment.units import duration
from kubetuna.reconciling.reconciler import Step
from kubetuna.trials.records import bounded
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.experiment.opened import OpenExperiment, Refusal, open_experiment, study_name
from kubetuna_operator.experiment.requests import refuse_all
from kubetuna_operator.experiment.status_renderer import failed_turn, refusal, unreachable_store
from kubetuna_operator.experiment.status_writer import StatusWriter
from kubetuna_operator.kube.objects import Owner, mapping, mappings
from kubetuna_operator.kube.work_queue import wait_after
from kubetuna_operator.telemetry import STORE_ERRORS

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
# A database comes back without anybody's doing, so it is asked more often.
LONGEST_STORE_WAIT = 10.0
# Between two looks whether all Trial objects of what has ended are written.
BEHIND_WAIT = 5.0
# A deletion waits for a node no longer than this: then the open trials are told without it. For a database it waits
# as long as a failover or an upgrade takes, since nobody else ever opens the study of a deleted Experiment; not for
# ever, since people take the database away first.
DELETION_SECONDS, DELETION_STORE_SECONDS = 60.0, 600.0
TEXT_LIMIT = 300
NEVER = float("inf")
_LEFT_OPEN = (
    "cannot be written to: what is RUNNING in that study stays so until someone ends it with Optuna, "
    "study.tell(NUMBER, state=TrialState.FAIL)"
)


class ExperimentRun:
    """Carries one Experiment object out. ``call`` asks for a turn, from any thread."""

    def __init__(
        self, context: OperatorContext, obj: Mapping[str, Any], writer: StatusWriter, call: Callable[[], None]
    ) -> None:
        metadata, status = obj["metadata"], obj["status"]
        owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
        ended = status.get("state") in ("Succeeded", "Failed") and bool(status.get("trials"))
        self.ref = ExperimentRef(owner, metadata["generation"], ended)
        self.writer, self.over = writer, False
        # What people ask of its trials, as the object had it at the latest turn.
        self.requests: Mapping[str, str] = {}
        self._context, self._call = context, call
        self._document = {k: obj.get(k) for k in ("apiVersion", "kind", "spec")}
        self._document["metadata"] = {"name": owner.name, "namespace": owner.namespace}
        self._opened: OpenExperiment | None = None
        self._beside: Future[Step | None] | None = None
        self._failures, self._not_before = 0, 0.0
        # Since when it is being deleted, and since when the database has not kept it from that.
        self._deleted_at: float | None = None
        self._ending_since: float | None = None
        context.pods.changes(owner.uid).call = call

    @property
    def busy(self) -> bool:
        """Whether something is done beside; its end asks for a turn."""
        return self._beside is not None and not self._beside.done()

    def leave(self) -> None:
        """Give up what it holds here; what runs goes on running."""
        self._close()
        self._context.pods.leave(self.ref.owner.uid)

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def delete(self) -> None:
        """Stop everything from the next turn on: the Experiment is being deleted."""
        if self._deleted_at is None:
            self._deleted_at = self._ending_since = self._context.clock.now()
            self._not_before = 0.0

    def turn(self) -> float | None:
        """Do what can be done now. Seconds until the next turn; None where one is asked for, or it is ``over``.

        Raises:
            StoreFenced: another operator took the study over.
        """
        if self._context.store.problem:
            self._stood_still()
        if self._left(DELETION_STORE_SECONDS, self._deleted_at) <= 0:
            self._give_up()
            return None
        # Not even for a change, such as that of the status in which a failure was said.
        early = self._not_before - self._context.monotonic()
        try:
            wait = early if early > 0 else self._turn()
        except StoreFenced:
            raise
        except Exception as error:
            self._close()
            wait = self._failed(error)
            self._not_before = self._context.monotonic() + wait
        left = (
            self._left(DELETION_SECONDS, self._ending_since),
            self._left(DELETION_STORE_SECONDS, self._deleted_at),
        )
        soonest = min([NEVER if wait is None else wait, *(seconds for seconds in left if seconds > 0)])
        return None if self.over or soonest == NEVER else soonest

    def _stood_still(self) -> None:
        """While nothing can be stored no Pod is stopped and no end is told: a deletion has that ahead of it yet."""
        if self._ending_since is not None:
            self._ending_since = self._context.clock.now()

    def _give_up(self) -> None:
        """End a deletion although nothing can be stored."""
        self.over = True
        text = f"{duration(DELETION_STORE_SECONDS)} after its deletion {study_name(self.ref.owner)} {_LEFT_OPEN}"
        log.warning("%s", text, extra=self.ref.extra)
        self._context.events.emit(self.ref.owner, "StudyLeftOpen", text, warning=True)

    def _left(self, patience: float, since: float | None) -> float:
        """Of so many seconds for its deletion those that are left."""
        if since is None:
            return NEVER
        grace = self._opened.grace if self._opened is not None else 0.0
        return since + patience + grace - self._context.clock.now()

    def _turn(self) -> float | None:
        if self.busy:
            return None
        beside, self._beside = self._beside, None
        if beside is None and self._opened is None:
            self._do_beside(self._context.openings, self._open)
            return None
        step = beside.result() if beside is not None else None
        if self._opened is None:
            return None
        if self._left(DELETION_SECONDS, self._ending_since) <= 0:
            self._opened.abandon()
            self.over = True
            return None
        step = step or self._opened.step()
        self._failures = 0
        return self._follow(step, self._opened)

    def _follow(self, step: Step, opened: OpenExperiment) -> float | None:
        """What comes after a step."""
        if step.end is not None:
            self.over = opened.finish(step.end) or self._is_deleted()
            return None if self.over else BEHIND_WAIT
        if step.held and opened.slow:
            self._do_beside(self._context.proposals, opened.slow_step)
        else:
            return 0.0 if step.held else max(0.0, step.due - self._context.clock.now())
        return None

    def _do_beside(self, where: Executor, work: Callable[[], Step | None]) -> None:
        self._beside = where.submit(work)
        self._beside.add_done_callback(lambda _: self._call())

    def _open(self) -> None:
        found = open_experiment(self._context, self.ref, self._document, self.writer, self._is_deleted, self._asked)
        if isinstance(found, Refusal):
            shown = mappings(mapping(self.writer.shown).get("requests"))
            answers = refuse_all(self._context, self.ref.owner, self.requests, shown)
            now = self._context.clock.now()
            self.writer.refuse(refusal(found.problems, self.ref.generation, now, answers))
            self.over = True
        else:
            self._opened = found

    def _asked(self) -> Mapping[str, str]:
        return self.requests

    def _is_deleted(self) -> bool:
        return self._deleted_at is not None

    def _failed(self, error: Exception) -> float:
        """Say what went wrong, where that is not soon mended; seconds until it is tried again."""
        self._failures += 1
        generation, now = self.ref.generation, self._context.clock.now()
        if isinstance(error, ForeignTrials):
            log.warning("%s; the study is read again", error, extra=self.ref.extra)
            return wait_after(self._failures, FIRST_WAIT / 8, LONGEST_WAIT)
        if isinstance(error, StoreError):
            STORE_ERRORS.inc()
            self._stood_still()
            log.warning("%s", error, extra=self.ref.extra)
            self.writer.amend(unreachable_store(error, generation, now))
            return wait_after(self._failures, FIRST_WAIT, LONGEST_STORE_WAIT)
        log.error("a turn failed; it is tried again", exc_info=error, extra=self.ref.extra)
        self.writer.amend(failed_turn(_said(error), generation, now))
        return wait_after(self._failures, FIRST_WAIT, LONGEST_WAIT)


def _said(error: Exception) -> str:
    """An error that nobody foresaw, in words that anyone may read."""
    words = getattr(error, "public", str(error))
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return bounded(text, TEXT_LIMIT)
