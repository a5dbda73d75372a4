"""The study port: what a runner asks of Optuna, each call idempotent and durable with the next ``flush``.

Sampler and pruner work on the journaled storage's memory; nothing here touches the database but ``flush``.
Optuna's own loop is not used: ``ask`` there is not atomic, ``tell`` twice raises and NaN silently becomes a
failure, so each of these cases is decided here. How records look is ``kubetuna.trials.records``; what is proposed,
and when to prune, is ``kubetuna.search``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, Unpack

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from kubetuna.errors import EveryPointTried, SearchExhausted
from kubetuna.experiment.model import Experiment
from kubetuna.search.catalogue import build_pruner
from kubetuna.search.samplers import Proposer
from kubetuna.search.space import identity, point_of, space_of, stored
from kubetuna.study.choosing import weighed
from kubetuna.study.decoding import decode_trial, told_order
from kubetuna.study.edited_space import PresentSpace, edit_note, edited
from kubetuna.study.open_trial import OpenTrial
from kubetuna.study.pruning import OtherPruning, Pruning
from kubetuna.study.steering import KnownTrials, QueuedPoint, Steering, is_whole, still_given
from kubetuna.trials import records
from kubetuna.trials.outcome import RULES, Classified, Outcome
from kubetuna.trials.progress import Progress, Results
from kubetuna.trials.records import AttemptChanges, AttemptRecord, TrialRecord, means
from kubetuna.trials.requests import Answer
from kubetuna.trials.snapshot import Snapshot, Tally

# Pruners look at every step of a curve for each new one; what is printed beyond this only updates the metrics.
CURVE_LIMIT = 10_000


class Journal(Protocol):
    """What the study needs of its storage beyond Optuna's interface."""

    @property
    def study_id(self) -> int: ...

    @property
    def pending(self) -> int: ...
    @property
    def epoch(self) -> int: ...

    def flush(self) -> None: ...
    def confirm(self) -> None: ...
    def withdraw(self, trial_id: int) -> None: ...
    def withdraw_steps(self, trial_id: int, below: int) -> None: ...
    def withdraw_study_attr(self, key: str) -> None: ...


class Study:
    """One experiment's study, over a storage that is also its ``Journal``."""

    def __init__(self, storage: BaseStorage, journal: Journal, experiment: Experiment, seed: int) -> None:
        self.spec = experiment
        self.seed = seed
        self._storage, self._journal = storage, journal
        self._proposer = Proposer(experiment, seed)
        self._space = space_of(experiment)
        self._open_studies(storage.get_study_name_from_id(journal.study_id))
        self.open: dict[int, OpenTrial] = {}
        # Numbers of our ended trials in the order in which they were told; it only grows.
        self.told: list[int] = []
        # Of our own trials: how many ordinals they have, and how many the search proposed.
        self._ordinals = self._proposals = 0
        # The points of our trials, whatever became of them, and the latest at each: none is tried twice.
        self._points: dict[str, int] = {}
        self._read(storage.get_study_system_attrs(journal.study_id))
        # Trials in whose place another one stands: they no longer count.
        self._replaced = set(self.steering.retries)
        self._load()
        self._progress = self._counted()

    def _open_studies(self, name: str) -> None:
        """Optuna's over the storage: pruners see every trial, samplers the space as it is now."""
        spec, storage = self.spec, self._storage
        pruner = None if spec.prune_on else build_pruner(spec)
        self._optuna = self._everything = everything = optuna.Study(study_name=name, storage=storage, pruner=pruner)
        if edited(everything.get_trials(deepcopy=False), self._space):
            present: Any = PresentSpace(storage, spec)
            self._optuna = optuna.Study(study_name=name, storage=present, pruner=pruner)
        self._pruning = (
            OtherPruning(spec, everything, storage) if spec.prune_on else Pruning(pruner, everything, storage)
        )

    def _read(self, attrs: Mapping[str, Any]) -> None:
        """What the study says of itself."""
        storage, journal, study_id = self._storage, self._journal, self._journal.study_id
        self.uid, self.epoch = str(attrs.get(records.UID, "")), journal.epoch
        self.protocol = str(attrs.get(records.PROTOCOL, ""))
        # Whether a trial has given its curve as JSON: all run one program, so text is no curve to prune on.
        self.json_curves = bool(attrs.get(records.JSON_CURVES, False))
        # Why no further trial can be proposed; once so, always so, since proposals follow from what is stored.
        self.unsearchable = str(attrs.get(records.UNSEARCHABLE, ""))
        self._exhausted = bool(attrs.get(records.EXHAUSTED))
        self.steering = Steering(
            attrs,
            lambda key, value: storage.set_study_system_attr(study_id, key, value),
            lambda request: journal.withdraw_study_attr(records.REQUEST + request),
        )

    def _load(self) -> None:
        own = self._own_trials()
        for trial in sorted(own, key=lambda t: t.number):
            self._note(trial.number, trial.system_attrs, point_of(trial))
        for trial in own:
            if trial.state.is_finished():
                self.told.append(trial.number)
            else:
                self._resume(trial)

    def _own_trials(self) -> list[FrozenTrial]:
        """Our trials in the order in which they were told, those that are open last."""
        trials = self._storage.get_all_trials(self._journal.study_id, deepcopy=False)
        return sorted((t for t in trials if records.is_own(t.system_attrs)), key=told_order)

    def _counted(self) -> Progress:
        """What our trials add up to so far."""
        progress = Progress(self.spec, self._replaced)
        for trial in self._own_trials():
            if records.RETEST in trial.system_attrs:
                progress.retest(trial.system_attrs[records.RETEST])
            if trial.state.is_finished():
                progress.add(decode_trial(trial, self._space))
            for attempt in records.decode_attempts(trial.system_attrs.get(records.ATTEMPTS)):
                progress.add_attempt(attempt)
        return progress

    def _note(self, number: int, system: Mapping[str, Any], point: Mapping[str, Any]) -> None:
        """Take in where a trial stands, and what it stands for."""
        self._points.setdefault(identity(self.spec.parameters, point), number)
        if records.RETRY in system:
            self._replaced.add(system[records.RETRY])
        if records.ORDINAL in system:
            self._ordinals = max(self._ordinals, system[records.ORDINAL] + 1)
            self._proposals += not (records.RETRY in system or records.ADDED in system)
            self._points[identity(self.spec.parameters, point)] = number

    def _resume(self, trial: FrozenTrial) -> None:
        self._open(OpenTrial.stored(self._storage, trial, self._pruning.curve(trial)))

    @property
    def numbered(self) -> int:
        """How many trials of the search were made, without those that are to be run again."""
        return self._ordinals - len(self.steering.retries)

    @property
    def tally(self) -> Tally:
        """Counts over this experiment's own trials."""
        return self._progress.tally(self.numbered)

    @property
    def best(self) -> TrialRecord | None:
        """The search's best completed trial; None without one, and with several objectives."""
        return self._progress.best

    @property
    def retests_due(self) -> tuple[int, ...]:
        """The best trials so far that no re-test has been made of."""
        return self._progress.due()

    def weighed(self, snapshot: Snapshot, now: float) -> Snapshot:
        """A snapshot of this study with what is known of its noise."""
        return weighed(
            snapshot, now, self._progress, lambda: [r for r in self.records() if self._progress.counts(r)]
        )

    @property
    def ended_seconds(self) -> float:
        """Seconds that all ended attempts ran."""
        return self._progress.attempt_seconds

    def results(self) -> Results:
        """What a status shows of this experiment's own trials."""
        running = self.open.values()
        return self._progress.results(sum(len(t.curve) for t in running), sum(t.log.get("cut", 0) for t in running))

    @property
    def exhausted(self) -> bool:
        """Whether the search has no further point to propose."""
        return not self.steering.queue and (self._exhausted or self._proposer.exhausted(self._proposals))

    @property
    def pending(self) -> int:
        """Changes that are not durable yet."""
        return self._journal.pending

    def records(self) -> tuple[TrialRecord, ...]:
        """Every trial of the study, by number, foreign ones included."""
        trials = self._storage.get_all_trials(self._journal.study_id, deepcopy=False)
        return tuple(decode_trial(t, self._space) for t in trials)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know as the study is taken up."""
        note = edit_note(self.spec, self.records()) if self._optuna is not self._everything else ""
        return (note,) if note else ()

    def record(self, number: int) -> TrialRecord:
        """One trial as it stands now."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._journal.study_id, number)
        return decode_trial(self._storage.get_trial(trial_id), self._space)

    def ask(self, ordinal: int) -> None:
        """Number the experiment's next trial and store its parameters. Nothing if it exists."""
        if ordinal < self.numbered or self.unsearchable or self.exhausted:
            return
        queued = self.steering.take()
        trial_id = self._storage.create_new_trial(self._journal.study_id)
        for key, value in self._origin(queued).items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        trial = self._storage.get_trial(trial_id)
        try:
            params = self._params(trial, queued)
        except SearchExhausted as error:
            self._journal.withdraw(trial_id)
            if queued is None:
                self._end_search(error)
            else:
                self.steering.refuse_late(queued, str(error))
                self._count(queued.retry_of)
            return
        self._keep_params(trial_id, params, self._space)
        self._note(trial.number, trial.system_attrs, params)
        self._open(OpenTrial(trial.number, trial_id, dict(params), self._storage))

    def _origin(self, queued: QueuedPoint | None) -> dict[str, Any]:
        """The place that a new trial takes, and who asked for it if not the search."""
        if queued is None:
            return {records.ORDINAL: self._ordinals}
        if queued.retry_of is None:
            return {records.ORDINAL: self._ordinals, records.ADDED: queued.request}
        return {records.ORDINAL: self.record(queued.retry_of).ordinal, records.RETRY: queued.retry_of}

    def _params(self, trial: FrozenTrial, queued: QueuedPoint | None) -> Mapping[str, Any]:
        if queued is None:
            return self._proposer.propose(self._optuna, trial, self._proposals, self._points)
        # The space may have been edited since.
        point = still_given(self.spec, queued.point)
        if is_whole(self.spec, point):
            return point
        return self._proposer.complete(self._optuna, trial, self._proposals, point, self._points)

    def carry_out(self, request: str, line: str, now: float) -> Answer:
        """Do what a person asks of a trial, and keep the answer."""
        count = len(self._storage.get_all_trials(self._journal.study_id, deepcopy=False))
        halted = frozenset(number for number, trial in self.open.items() if trial.halted)
        known = KnownTrials(self.spec, count, self.record, self._points, self.steering.queue, halted)
        answer, decision = self.steering.answer(request, line, now, known)
        if decision is not None and decision.stop is not None:
            trial = self.open[decision.stop]
            trial.halted = True
            trial.keep(records.HALTED, request)
        if decision is not None and decision.retry_of is not None:
            self._replaced.add(decision.retry_of)
            self._progress = self._counted()
        if decision is not None and decision.withdrawn is not None:
            self._count(decision.withdrawn.retry_of)
        return answer

    def _count(self, number: int | None) -> None:
        """Count a trial again, since none will stand in its place."""
        if number is not None:
            self._replaced.discard(number)
            self._progress = self._counted()

    def _end_search(self, why: SearchExhausted) -> None:
        """Store that there is no further point, which is a good end where every one was tried."""
        study_id = self._journal.study_id
        if isinstance(why, EveryPointTried):
            self._exhausted = True
            self._storage.set_study_system_attr(study_id, records.EXHAUSTED, True)
            return
        self.unsearchable = records.bounded(str(why))
        self._storage.set_study_system_attr(study_id, records.UNSEARCHABLE, self.unsearchable)

    def retest(self, of: int) -> None:
        """Number a trial that runs the parameters of trial ``of`` again. Nothing if there is one."""
        if of not in self.retests_due:
            return
        study_id = self._journal.study_id
        trial_id = self._storage.create_new_trial(study_id)
        self._storage.set_trial_system_attr(trial_id, records.RETEST, of)
        params = self.record(of).params
        again = self._storage.get_trial(self._storage.get_trial_id_from_study_id_trial_number(study_id, of))
        self._keep_params(trial_id, params, again.distributions)
        number = self._storage.get_trial(trial_id).number
        self._open(OpenTrial(number, trial_id, dict(params), self._storage, retest_of=of))
        self._progress.retest(of)

    def _open(self, trial: OpenTrial) -> None:
        self.open[trial.number] = trial
        self._pruning.begin(trial.trial_id, trial.curve)

    def _keep_params(self, trial_id: int, params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> None:
        for name in (p.name for p in self.spec.parameters if p.name in params):
            internal = space[name].to_internal_repr(stored(params[name]))
            self._storage.set_trial_param(trial_id, name, internal, space[name])

    def begin_attempt(self, number: int, attempt: AttemptRecord) -> None:
        """Record that an attempt is about to start. Nothing if it is recorded; what was withdrawn begins anew."""
        kept = tuple(a for a in self.open[number].attempts if a.number != attempt.number or a.stop is None)
        if all(a.number != attempt.number for a in kept):
            self.open[number].keep_attempts((*kept, attempt))

    def update_attempt(self, number: int, attempt: int, **changes: Unpack[AttemptChanges]) -> None:
        """Record what became known of an attempt: its start, the intent to stop it, its end."""
        trial = self.open[number]
        changed = tuple(replace(a, **changes) if a.number == attempt else a for a in trial.attempts)
        if changed != trial.attempts:
            if "outcome" in changes:
                self._progress.add_attempt(changed[attempt])
            trial.keep_attempts(changed)

    def report(self, number: int, points: Iterable[tuple[int, float, bool]], finished: bool = False) -> int:
        """Give accepted points ``(step, value, prunable)`` to the pruner, one by one, in order.

        Returns how many were taken: the rest came after the verdict to prune and do not count. Of a trial that is
        ``finished`` all do: the pruner sees them, for what it keeps itself, but its verdict comes too late.
        """
        trial = self.open[number]
        taken = 0
        for step, value, prunable in points:
            if (trial.verdict == "prune" and not finished) or len(trial.curve) >= CURVE_LIMIT:
                break
            trial.curve[step] = value
            self._pruning.report(trial.trial_id, trial.curve, step)
            taken += 1
            if prunable and self._pruning.should_prune(trial.trial_id) and not finished:
                trial.verdict = "prune"
                trial.keep(records.VERDICT, "prune")
        return taken

    def withdraw_steps(self, number: int, below: int) -> None:
        """Take the points of the steps below this one out of a curve: what was read there did not count."""
        trial = self.open[number]
        gone = [step for step in trial.curve if step < below]
        for step in gone:
            del trial.curve[step]
        self._journal.withdraw_steps(trial.trial_id, below)
        self._pruning.withdrawn(trial.trial_id, trial.curve, len(gone))

    def known_steps(self, number: int) -> Mapping[int, float]:
        """Steps that the curve of an open trial holds, a live view."""
        return self.open[number].curve

    def settle_protocol(self, digest: str) -> None:
        """Take the first protocol of evaluation that any trial names as the study's."""
        if digest and not self.protocol:
            self.protocol = digest
            self._storage.set_study_system_attr(self._journal.study_id, records.PROTOCOL, digest)

    def settle_json_curves(self) -> None:
        """From now on no trial is pruned on what text says before its first JSON report."""
        if not self.json_curves:
            self.json_curves = True
            self._storage.set_study_system_attr(self._journal.study_id, records.JSON_CURVES, True)

    def tell(self, number: int, classified: Classified, latest: Mapping[str, float]) -> None:
        """Store a trial's outcome and tell the sampler. Nothing if it was told.

        ``latest`` are the metrics of the run that ended; where repeats finished before, their means are told, with
        this one among them if it succeeded too.
        """
        trial = self.open.get(number)
        if trial is None:
            return
        if trial.repeats and classified.outcome is Outcome.SUCCEEDED:
            trial.keep_repeat(latest)
        metrics = means(trial.repeats) if trial.repeats else latest
        state = TrialState[RULES[classified.outcome].state]
        values = trial.values(self.spec, classified.outcome, metrics)
        trial.keep_metrics(metrics)
        infeasible = trial.keep_constraints(self.spec, metrics, state)
        trial.keep(records.OUTCOME, str(classified.outcome))
        trial.keep(records.MESSAGE, records.bounded(classified.message or infeasible))
        if trial.retest_of is None:
            self._proposer.told(self._optuna, self._storage.get_trial(trial.trial_id), state, values)
        self._storage.set_trial_state_values(trial.trial_id, state, values)
        self._pruning.end(trial.trial_id, state, metrics)
        del self.open[number]
        self.told.append(number)
        self._progress.add(self.record(number))

    def flush(self) -> None:
        """Make everything above durable in one transaction."""
        self._journal.flush()

    def confirm(self) -> None:
        """Make sure that no other writer has taken the study over, before something is done about its trials."""
        self._journal.confirm()
