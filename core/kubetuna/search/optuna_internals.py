"""Every private name of Optuna that kubetuna relies on, each behind a public one of ours.

Optuna may change any of them in a minor release, so they are reached here and nowhere else, and each has a test
that says which one is gone. The formats that Optuna keeps in a store without a public name are here for the same
reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.pruners import _filter_study
from optuna.samplers import QMCSampler
from optuna.storages import InMemoryStorage
from optuna.study._frozen import FrozenStudy as FrozenStudy
from optuna.trial import FrozenTrial

# A trial's system attribute: one number a constraint, above 0 where it is violated.
CONSTRAINTS = "constraints"
# A trial's system attributes in which successive halving keeps what it decided.
RUNG = "completed_rung_"
# A study's system attribute: what its objectives are called.
METRIC_NAMES = "study:metric_names"


class FilledStorage(InMemoryStorage):
    """Optuna's in-memory storage, filled with trials that exist already; a trial's id is its number."""

    def fill(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Take in the trials of a study that has none yet."""
        info = self._studies[study_id]
        for trial in trials:
            trial._trial_id = trial.number
            self._trial_id_to_study_id_and_number[trial.number] = (study_id, trial.number)
            info.trials.append(trial)
            self._update_cache(trial.number, study_id)
        self._max_trial_id = len(trials) - 1

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        # Optuna binds a parameter to the choices of its first trial; a space may be edited.
        study_id, _ = self._trial_id_to_study_id_and_number[trial_id]
        self._studies[study_id].param_distribution.pop(param_name, None)
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def drop_last(self) -> None:
        """Forget the newest trial."""
        trial_id = self._max_trial_id
        study_id, _ = self._trial_id_to_study_id_and_number.pop(trial_id)
        self._studies[study_id].trials.pop()
        self._max_trial_id -= 1


class PlacedSequence(QMCSampler):
    """Optuna's quasi-random sampler at a given place of its sequence."""

    place = 0

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self.place


def id_of(trial: FrozenTrial) -> int:
    """The id under which the trial's storage knows it."""
    return trial._trial_id


def stored_attributes(study: Study) -> Mapping[str, Any]:
    """A study's system attributes, whatever its storage."""
    return study._storage.get_study_system_attrs(study._study_id)


def forget_history(study: Study) -> None:
    """Make samplers see the trials as they are now: a study keeps those of its last ``ask``."""
    study._thread_local.cached_all_trials = None


def seen_by(study: Study, trial: FrozenTrial) -> Study:
    """The study as a sampler sees it for this trial: of Hyperband's brackets the trial's own."""
    return _filter_study(study, trial)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a parameter's value lies in its distribution."""
    return distribution._contains(distribution.to_internal_repr(value))


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Suggest a value of any distribution; the public methods take each kind's bounds apart."""
    return trial._suggest(name, distribution)


def table_models() -> Any:
    """The SQLAlchemy models of Optuna's tables; loaded late, for SQLAlchemy takes long to load."""
    from optuna.storages._rdb import models

    return models
