"""An Experiment that is open: its study, the core's reconciler over its Pods, and how its state is shown.

Opening reads the whole study, and may wait for the database; a step does neither.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna.errors import Problem, SpecError, StoreUnavailable, StudyMismatch, StudyNotFound
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import grace_seconds, resource_units
from kubetuna.parsing.parse import parse_experiment
from kubetuna.planning.plan import Action, Ask
from kubetuna.planning.stopping import StopDecision, is_over
from kubetuna.reconciling.reconciler import Effect, Ports, Reconciler, Step
from kubetuna.store.reader import read_study
from kubetuna.study.open import Opened, open_study
from kubetuna.trials.outcome import Classified, Outcome
from kubetuna.trials.records import EXPERIMENT
from kubetuna.trials.snapshot import Snapshot
from kubetuna_operator import METRICS_CONTAINER
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.experiment.claims import with_claims
from kubetuna_operator.experiment.heeded import heeded
from kubetuna_operator.experiment.requests import AnsweredRequests
from kubetuna_operator.experiment.status_renderer import Publisher, unreachable_store
from kubetuna_operator.experiment.status_writer import StatusWriter
from kubetuna_operator.experiment.trial_objects import TrialObjects
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.objects import Owner, mapping
from kubetuna_operator.telemetry import COMMIT_SECONDS, RECONCILE_SECONDS, STORE_ERRORS
from kubetuna_operator.workloads.executor import PodExecutor
from kubetuna_operator.workloads.pod_logs import PodLogs

# Above this a proposal is not made by a worker, of which there are few: others wait for it to stop what must stop.
SLOW_SECONDS = 0.02
# Before so many have ended samplers draw at random. From then on a study is taken for slow until a proposal has
# shown that it is not.
FEW_TRIALS = 10
# For how long what has ended waits for its Trial objects: a server that refuses them is not asked for ever.
SHOWING_SECONDS = 3_600.0
# One turn proposes no more, so that none of them creates Pods for minutes.
ASKS_AT_ONCE = 50


def study_name(owner: Owner) -> str:
    """Readable in the dashboard, and another one for an Experiment made anew under the same name."""
    return f"{owner.namespace}/{owner.name}/{owner.uid[:8]}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An Experiment that cannot be carried out, and never was."""

    problems: tuple[Problem, ...]


def open_experiment(
    context: OperatorContext,
    ref: ExperimentRef,
    document: Mapping[str, Any],
    writer: StatusWriter,
    deleted: Callable[[], bool],
    requests: Callable[[], Mapping[str, str]],
) -> OpenExperiment | Refusal:
    """Parse the spec and take its study over.

    One that was edited into something that cannot be goes on with what the study has, and says so; that it is to
    pause, to end or to spend less is heeded all the same.

    Raises:
        StoreError: the database cannot be used now.
    """
    context.store.ensure()
    try:
        spec, problems = _claiming(context, ref, parse_experiment(document)), tuple[Problem, ...]()
        opened = _open(context, spec, ref)
    except (SpecError, StudyMismatch) as error:
        problems = error.problems if isinstance(error, SpecError) else (Problem("spec", error.public),)
        accepted = _accepted_before(context, ref, document)
        if accepted is None:
            return Refusal(problems)
        spec, opened = accepted, _open(context, accepted, ref)
    return OpenExperiment(context, ref, opened.spec, opened, writer, (deleted, requests), problems)


def _claiming(context: OperatorContext, ref: ExperimentRef, spec: Experiment) -> Experiment:
    return with_claims(context, ref, spec, study_name(ref.owner))


def _open(context: OperatorContext, spec: Experiment, ref: ExperimentRef) -> Opened:
    name, now = study_name(ref.owner), context.clock.now()
    return open_study(context.store.database, spec, name, context.identity, now, lambda: secrets.randbits(31))


def _accepted_before(
    context: OperatorContext, ref: ExperimentRef, document: Mapping[str, Any]
) -> Experiment | None:
    try:
        study = read_study(context.store.database, study_name(ref.owner))
        found = study.system_attrs.get(EXPERIMENT)
        if not found:
            return None
        accepted = heeded(found, mapping(document.get("spec")))
    except (StudyNotFound, SpecError):
        # It never ran, or was taken by a version that refused less.
        return None
    return _claiming(context, ref, accepted)


class OpenExperiment:
    """What carries out one Experiment in one generation of its spec."""

    def __init__(
        self,
        context: OperatorContext,
        ref: ExperimentRef,
        spec: Experiment,
        opened: Opened,
        writer: StatusWriter,
        people: tuple[Callable[[], bool], Callable[[], Mapping[str, str]]],
        problems: tuple[Problem, ...],
    ) -> None:
        self._store = context.store
        self.grace = grace_seconds(spec.template.trial_spec)
        executor = PodExecutor(context, spec, ref)
        container = METRICS_CONTAINER if spec.collector.folder else spec.template.primary_container
        logs = PodLogs(context, ref, container, executor)
        self._writer, self._ref, self._clock = writer, ref, context.clock
        self._publisher = Publisher(context, writer, spec, ref, opened.study, executor.stalled)
        self._publisher.problem = "\n".join(str(problem) for problem in problems)
        self._trial_objects = TrialObjects(context, ref.owner, opened.study)
        deleted, requests = people
        self._requests = AnsweredRequests(context, ref.owner, opened.study, requests)
        ports = Ports(
            executor, logs, context.clock, self._show, self._unavailable, requests, self._requests.announce
        )
        self._reconciler = _MeasuredReconciler(
            spec, opened.study, ports, opened.started, resource_units(spec), deleted
        )
        self._reconciler.context = context
        self._show_until: float | None = None
        # Whether it is over by what was planned last: ``finish`` shows it then.
        self._is_over = False

    @property
    def slow(self) -> bool:
        """Whether its next proposal may take long."""
        return not self._reconciler.quick

    def step(self) -> Step:
        """One step without slow proposals."""
        return self._tidied(self._reconciler.step(0 if self.slow else ASKS_AT_ONCE))

    def slow_step(self) -> Step:
        """One step with one slow proposal."""
        return self._tidied(self._reconciler.step(1))

    def _tidied(self, step: Step) -> Step:
        if not self._is_over:
            self._forget_requests()
        return step

    def _forget_requests(self) -> None:
        """Once the status shows their answers: who comes next opens nothing that is over by it and not asked."""
        if self._writer.settled:
            self._requests.remove()

    def finish(self, end: StopDecision) -> bool:
        """Show how it ended, and whether Trials are still to be shown: that is what a later process goes by.

        Trials first: whoever sees the end in the status finds all of them. True once nothing is left to be done.
        """
        now = self._clock.now()
        if self._show_until is None:
            # Once; what is refused is then asked for rarely, in the background.
            self._trial_objects.refresh(now=True)
            self._show_until = now + SHOWING_SECONDS
        behind = self._trial_objects.behind and now < self._show_until
        self._publisher.publish(self._reconciler.observe(), end, force=True, behind=behind)
        self._forget_requests()
        return not behind and not self._requests.stored()

    def abandon(self) -> None:
        """Tell its open trials: it is being deleted, and what has become of their Pods will never be known.

        Raises:
            StoreError: that is not stored.
        """
        self._reconciler.abandon(Classified(Outcome.DELETED, "the Experiment was deleted"))

    def close(self) -> None:
        """Show nothing more of it."""
        self._trial_objects.close()

    def _show(self, snapshot: Snapshot, end: StopDecision | None) -> None:
        self._is_over = is_over(snapshot, end)
        if not self._is_over:
            # Someone may ask for one more trial of what had ended.
            self._show_until = None
            self._trial_objects.refresh()
            self._publisher.publish(snapshot, end, force=bool(self._requests.stored()))

    def _unavailable(self, error: StoreUnavailable) -> None:
        STORE_ERRORS.inc()
        self._store.failed(error)
        # Nothing else of it: what is not stored yet may turn out otherwise.
        self._writer.amend(unreachable_store(error, self._ref.generation, self._clock.now()))


class _MeasuredReconciler(Reconciler):
    """The core's reconciler, its turns and commits measured. A successful commit shows that the store is back."""

    context: OperatorContext
    # What the latest proposal took, and how many trials had ended by then.
    ask_seconds, asked_with = 0.0, 0
    # Whether this turn has no worker, for whom others wait.
    _beside = False

    @property
    def quick(self) -> bool:
        """Whether the next proposal takes no longer than a worker can be spared for."""
        known = self.asked_with >= FEW_TRIALS or len(self.study.told) < FEW_TRIALS
        return known and self.ask_seconds <= SLOW_SECONDS

    def turn(self, snapshot: Snapshot, now: float, asks: int | None = None) -> tuple[bool, float]:
        self._beside = asks == 1
        with RECONCILE_SECONDS.labels("experiment").time():
            return super().turn(snapshot, now, asks)

    def _intend(self, action: Action, now: float) -> list[Effect]:
        began = self.context.monotonic()
        effects = super()._intend(action, now)
        if isinstance(action, Ask):
            self.ask_seconds, self.asked_with = self.context.monotonic() - began, len(self.study.told)
        return effects

    def _may_ask(self) -> bool:
        return self._beside or self.quick

    def _make_durable(self, acts: bool) -> bool:
        if not self.study.pending:
            return super()._make_durable(acts)
        failpoint("flushing")
        with COMMIT_SECONDS.time():
            done = super()._make_durable(acts)
        if done:
            self.context.store.answered()
        failpoint("flushed")
        return done
