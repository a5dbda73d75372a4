"""A trial that was asked and not yet told: what is known of it, and how each part is stored as it becomes known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from kubetuna.experiment.model import Experiment
from kubetuna.search.optuna_internals import CONSTRAINTS, id_of
from kubetuna.search.space import point_of
from kubetuna.trials import records
from kubetuna.trials.constraints import infeasible, kept
from kubetuna.trials.outcome import Outcome, Pruning
from kubetuna.trials.records import AttemptRecord


@dataclass(slots=True)
class OpenTrial:
    """``log`` is the durable state of reading its log. Each ``keep`` stores a part and does not flush."""

    number: int
    trial_id: int
    params: Mapping[str, Any]
    storage: BaseStorage
    attempts: tuple[AttemptRecord, ...] = ()
    verdict: Pruning = "go"
    log: Mapping[str, Any] = field(default_factory=dict)
    curve: dict[int, float] = field(default_factory=dict)
    repeats: tuple[Mapping[str, float], ...] = ()
    retest_of: int | None = None
    halted: bool = False

    @classmethod
    def stored(cls, storage: BaseStorage, trial: FrozenTrial, curve: dict[int, float]) -> OpenTrial:
        """One that an earlier runner asked, as it left it."""
        system = trial.system_attrs
        return cls(
            number=trial.number,
            trial_id=id_of(trial),
            params=point_of(trial),
            storage=storage,
            attempts=records.decode_attempts(system.get(records.ATTEMPTS)),
            verdict=system.get(records.VERDICT, "go"),
            log=system.get(records.LOG, {}),
            curve=curve,
            repeats=records.decode_repeats(system.get(records.REPEATS)),
            retest_of=system.get(records.RETEST),
            halted=records.HALTED in system,
        )

    def keep(self, key: str, value: Any) -> None:
        """One attribute."""
        self.storage.set_trial_system_attr(self.trial_id, key, value)

    def keep_attempts(self, attempts: tuple[AttemptRecord, ...]) -> None:
        """Its attempts as they are now."""
        self.attempts = attempts
        self.keep(records.ATTEMPTS, records.encode_attempts(attempts))

    def keep_log(self, state: Mapping[str, Any]) -> None:
        """How far the log was read, in the same transaction as the values it led to."""
        if state != self.log:
            self.log = dict(state)
            self.keep(records.LOG, dict(state))

    def keep_series(self, series: Mapping[str, Sequence[float]]) -> None:
        """The series that it printed."""
        self.keep(records.SERIES, {name: list(values) for name, values in series.items()})

    def keep_repeat(self, metrics: Mapping[str, float]) -> None:
        """The metrics of a repeat that has finished, the next after those that are stored."""
        self.repeats = (*self.repeats, dict(metrics))
        self.keep(records.REPEATS, [dict(r) for r in self.repeats])

    def keep_metrics(self, metrics: Mapping[str, float]) -> None:
        """What it ended with, for us and for whoever reads the study with Optuna."""
        if metrics:
            self.keep(records.METRICS, dict(metrics))
        for name, value in metrics.items():
            self.storage.set_trial_user_attr(self.trial_id, name, value)

    def keep_constraints(self, spec: Experiment, metrics: Mapping[str, float], state: TrialState) -> str:
        """How far each constraint over metrics is kept; the words for a trial that violates one."""
        if state is TrialState.FAIL:
            return ""
        found = kept(spec, self.params, metrics, state is TrialState.COMPLETE)
        if found:
            self.keep(CONSTRAINTS, [one.violation for one in found])
        return infeasible(found)

    def values(self, spec: Experiment, outcome: Outcome, metrics: Mapping[str, float]) -> list[float] | None:
        """The objectives where it succeeded; where it was cut short, the last of its reported steps."""
        if outcome is Outcome.SUCCEEDED:
            return [metrics[o.metric] for o in spec.objectives]
        if outcome not in (Outcome.PRUNED, Outcome.STOPPED) or spec.multi_objective:
            return None
        # As Optuna's own tell does: a pruned trial stands with its last reported value.
        if spec.prune_on is not None:
            last = metrics.get(spec.objectives[0].metric)
            return None if last is None else [last]
        return [self.curve[max(self.curve)]] if self.curve else None
