"""Whether to prune a trial, and where the curve is kept that this is decided on.

On the only objective that is Optuna's way: intermediate values in its table, and the pruner looks at the study. A
curve of another metric must stay out of there: with several objectives a pruned trial that has intermediate values
makes the next proposal raise, and with one samplers rank pruned trials by them as if they were the objective's. It
is kept in attributes of ours, and the pruner sees a study with that metric as its objective.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from kubetuna.experiment.model import Experiment
from kubetuna.search.catalogue import build_pruner
from kubetuna.search.optuna_internals import RUNG, FilledStorage
from kubetuna.search.space import study_direction
from kubetuna.trials.records import CURVE, CURVE_PART, METRICS, curve_in, metrics_of


class Pruning:
    """Decides on curves of the only objective. ``study`` is what samplers see."""

    def __init__(self, pruner: BasePruner | None, study: optuna.Study, storage: BaseStorage) -> None:
        self.pruner, self._study, self._storage = pruner, study, storage

    def curve(self, trial: FrozenTrial) -> dict[int, float]:
        """What is stored of a trial's curve."""
        return dict(trial.intermediate_values)

    def begin(self, trial_id: int, curve: dict[int, float]) -> None:
        """A trial was made; ``curve`` will hold its points."""

    def report(self, trial_id: int, curve: Mapping[int, float], step: int) -> None:
        """Store the newest point of a curve."""
        self._storage.set_trial_intermediate_value(trial_id, step, curve[step])

    def withdrawn(self, trial_id: int, curve: Mapping[int, float], count: int) -> None:
        """Store that so many points of a curve are gone."""

    def should_prune(self, trial_id: int) -> bool:
        """The pruner's verdict on a trial as it stands."""
        return self.pruner is not None and self.pruner.prune(self._study, self._seen(trial_id))

    def _seen(self, trial_id: int) -> FrozenTrial:
        return self._storage.get_trial(trial_id)

    def end(self, trial_id: int, state: TrialState, metrics: Mapping[str, float]) -> None:
        """A trial was told."""


class OtherPruning(Pruning):
    """Decides on curves of a metric that is not the only objective."""

    def __init__(self, spec: Experiment, study: optuna.Study, storage: BaseStorage) -> None:
        self._metric = spec.curve.metric
        shadow = _Shadow(storage)
        study_id = shadow.create_new_study([study_direction(spec.curve.direction)], study.study_name)
        shadow.fill(study_id, [self._shadowed(trial) for trial in study.get_trials(deepcopy=False)])
        self._shadow, self._shadow_id, self._kept_in = shadow, study_id, storage
        pruner = build_pruner(spec)
        super().__init__(pruner, optuna.Study(study.study_name, shadow, pruner=pruner), shadow)

    def _shadowed(self, trial: FrozenTrial) -> FrozenTrial:
        """A stored trial as the pruner sees it: with this metric's curve and value, and what the pruner keeps."""
        value = self._value(trial.state, metrics_of(trial.system_attrs.get(METRICS)))
        return FrozenTrial(
            number=trial.number,
            state=_state(trial.state, value),
            value=value,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={k: v for k, v in trial.system_attrs.items() if k.startswith(RUNG)},
            intermediate_values=self.curve(trial),
            trial_id=trial.number,
        )

    def _value(self, state: TrialState, metrics: Mapping[str, float]) -> float | None:
        return metrics.get(self._metric) if state is TrialState.COMPLETE else None

    def curve(self, trial: FrozenTrial) -> dict[int, float]:
        return curve_in(trial.system_attrs)

    def begin(self, trial_id: int, curve: dict[int, float]) -> None:
        if trial_id == len(self._shadow.get_all_trials(self._shadow_id, deepcopy=False)):
            self._shadow.create_new_trial(self._shadow_id)
        self._shadow.get_trial(trial_id).intermediate_values = curve

    def report(self, trial_id: int, curve: Mapping[int, float], step: int) -> None:
        self._keep_part(trial_id, curve, (len(curve) - 1) // CURVE_PART)

    def _keep_part(self, trial_id: int, curve: Mapping[int, float], part: int) -> None:
        points = islice(curve.items(), part * CURVE_PART, (part + 1) * CURVE_PART)
        self._kept_in.set_trial_system_attr(trial_id, f"{CURVE}{part}", [list(point) for point in points])

    def withdrawn(self, trial_id: int, curve: Mapping[int, float], count: int) -> None:
        for part in range((len(curve) + count - 1) // CURVE_PART + 1 if count else 0):
            self._keep_part(trial_id, curve, part)

    def end(self, trial_id: int, state: TrialState, metrics: Mapping[str, float]) -> None:
        value = self._value(state, metrics)
        self._shadow.set_trial_state_values(trial_id, _state(state, value), None if value is None else [value])


def _state(state: TrialState, value: float | None) -> TrialState:
    """A trial that completed without the metric is none to compare with."""
    return TrialState.FAIL if state is TrialState.COMPLETE and value is None else state


class _Shadow(FilledStorage):
    """The pruner's view of a study; what it keeps with a trial is kept with the real one too."""

    def __init__(self, real: BaseStorage) -> None:
        super().__init__()
        self._real = real

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        self._real.set_trial_system_attr(trial_id, key, value)
