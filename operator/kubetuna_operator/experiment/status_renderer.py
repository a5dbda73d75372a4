"""The Experiment's status in the cluster, rendered from snapshots and from what ended trials add up to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubetuna.errors import Problem, StoreError
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import resource_unit
from kubetuna.experiment.units import Unit, count
from kubetuna.planning.status import Condition, Moment, render
from kubetuna.planning.stopping import StopDecision, is_over
from kubetuna.study.study import Study
from kubetuna.trials.outcome import RULES
from kubetuna.trials.progress import Results
from kubetuna.trials.records import MESSAGE_LIMIT, TrialRecord, outcome_of, timestamp
from kubetuna.trials.snapshot import Snapshot
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.experiment.status_writer import StatusWriter
from kubetuna_operator.telemetry import TRIAL_SECONDS, TRIALS

log = logging.getLogger(__name__)

FAILED = frozenset(outcome for outcome, rule in RULES.items() if rule.failed)
# In a status' ``study``: there once it has ended and not all of its Trial objects are written.
BEHIND = "trialsBehind"
# Of all errors of a spec together.
REFUSAL_LIMIT = 4_000


class Publisher:
    """Turns snapshots into statuses, with what ended trials add up to. ``stalled`` tells why Pods do not start."""

    def __init__(
        self,
        context: OperatorContext,
        writer: StatusWriter,
        spec: Experiment,
        ref: ExperimentRef,
        study: Study,
        stalled: Callable[[], str],
    ) -> None:
        self._events, self._clock, self._store = context.events, context.clock, context.store
        self._writer, self._spec, self._ref, self._study, self._stalled = writer, spec, ref, study, stalled
        self._counted = 0
        # What was seen when a status was rendered last, and what was to be shown from then on.
        self._seen: tuple[object, ...] = ()
        self._shown: Mapping[str, Any] = {}
        self._results = self._count(loaded=True)
        self.problem = ""

    def _count(self, loaded: bool = False) -> Results:
        """Take in the trials that ended since."""
        best = None if loaded else self._results.best
        for number in self._study.told[self._counted :]:
            if not loaded:
                self._announce(self._study.record(number))
        self._counted = len(self._study.told)
        results = self._study.results()
        if not loaded and results.best is not None and results.best != best:
            value = (results.best.values or (0.0,))[0]
            self._events.emit(self._ref.owner, "NewBest", f"trial {results.best.number}: {value:g}")
        return results

    def _announce(self, record: TrialRecord) -> None:
        outcome = record.outcome or "Unknown"
        TRIALS.labels(record.state, outcome).inc()
        if record.started is not None and record.ended is not None:
            TRIAL_SECONDS.observe(max(0.0, record.ended - record.started))
        extra = {**self._ref.extra, "trial": record.number, "outcome": outcome}
        log.info("trial ended: %s %s", outcome, record.message, extra=extra)
        if outcome_of(record.outcome) in FAILED:
            text = f"trial {record.number}: {outcome}: {record.message}"
            self._events.emit(self._ref.owner, "TrialFailed", text, warning=True)

    def publish(
        self, snapshot: Snapshot, end: StopDecision | None, force: bool = False, behind: bool = False
    ) -> None:
        """Show a snapshot soon: once a second, or when a trial ended or the experiment did. ``force``: now.

        ``behind``: Trial objects of what has ended are still to be written.
        """
        fresh = len(self._study.told) != self._counted
        if not (fresh or force or self._writer.due()):
            return
        self._results = self._count()
        seen = (snapshot, end, self._results, self._stalled(), self._store.problem, self.problem)
        if not force and seen == self._seen and self._writer.shown is self._shown:
            # To render it takes longer than to find that only time went by.
            return
        status = self.status(snapshot, end)
        if behind:
            status["study"][BEHIND] = True
        if force:
            self._writer.write(status)
        else:
            self._writer.offer(status)
        self._seen, self._shown = seen, self._writer.shown

    def status(self, snapshot: Snapshot, end: StopDecision | None) -> dict[str, Any]:
        """The status of a snapshot, with the cluster's own conditions."""
        stalled = self._stalled()
        unit = resource_unit(self._spec)
        troubles = (
            accepted_condition(self.problem),
            store_condition(self._store.problem),
            Condition("Stalled", bool(stalled), "PodsWaiting" if stalled else "NothingWaits", stalled),
        )
        own = (*troubles, self._restarting(snapshot, end))
        status = render(snapshot, end, self._results, Moment(self._clock.now(), self._ref.generation, unit, own))
        return {
            **status,
            "message": "; ".join(filter(None, (status["message"], *(c.message for c in troubles), _queue(status)))),
            "progress": _progress(snapshot),
            **({} if self._spec.claimed is None else {"claimedAccelerators": self._spec.claimed}),
            "spent": _with_text(status["spent"], unit),
            "study": {"uid": self._study.uid, "epoch": self._study.epoch},
        }

    def _restarting(self, snapshot: Snapshot, end: StopDecision | None) -> Condition:
        """Whether an experiment that had ended goes on, since its counts or its budget were raised."""
        restarting = self._ref.ended_before and not is_over(snapshot, end)
        return Condition("Restarting", restarting, "ExperimentRestarting" if restarting else "NotRestarting")


def _progress(snapshot: Snapshot) -> str:
    """Trials that ended, of those to make."""
    limit = snapshot.spec.max_trials
    return str(snapshot.tally.ended) + (f"/{limit}" if limit is not None else "")


def _queue(status: Mapping[str, Any]) -> str:
    """How many trials a queue has not admitted."""
    waiting = status.get("trialsInQueue", 0)
    return f"{count(waiting, 'trial')} in a queue" if waiting else ""


def _with_text(spent: Mapping[str, Any], unit: Unit) -> dict[str, Any]:
    """What was spent, also in one word for people."""
    return {**spent, "text": unit.amount(spent[unit.hours])}


def accepted_condition(problem: str) -> Condition:
    """Whether the spec as it stands now can be carried out."""
    return Condition("Accepted", not problem, "SpecInvalid" if problem else "SpecValid", problem[:REFUSAL_LIMIT])


def store_condition(problem: str) -> Condition:
    """Whether the database can be reached."""
    return Condition(
        "StoreReady", not problem, "StoreUnavailable" if problem else "Connected", problem[:MESSAGE_LIMIT]
    )


def refusal(
    problems: tuple[Problem, ...], generation: int, now: float, answers: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The status of an Experiment that cannot run: every error at once, each with its field's path.

    ``answers`` are the new ones to what was asked of it, the latest last.
    """
    message = "\n".join(str(problem) for problem in problems)[:REFUSAL_LIMIT]
    found = _bare(accepted_condition(message), "Failed", generation, now, message)
    return {**found, **({"requests": [*answers]} if answers else {})}


def unreachable_store(error: StoreError, generation: int, now: float) -> dict[str, Any]:
    """The status while the database cannot be reached for the first time."""
    return _bare(store_condition(error.public), "Created", generation, now, "waiting for the database")


def failed_turn(text: str, generation: int, now: float) -> dict[str, Any]:
    """The status of an Experiment at which the operator fails for a reason that nobody foresaw."""
    message = f"the operator failed at this experiment and tries it again: {text}"
    return _bare(Condition("Stalled", True, "TurnFailed", message), "Created", generation, now, message)


def _bare(condition: Condition, state: str, generation: int, now: float, message: str) -> dict[str, Any]:
    found = {
        "type": condition.type,
        "status": "True" if condition.status else "False",
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": timestamp(now),
    }
    return {"conditions": [found], "state": state, "observedGeneration": generation, "message": message}
