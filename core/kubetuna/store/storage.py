"""A study in memory with the database as its journal.

Samplers and pruners work on Optuna's in-memory storage; every change is noted here and written by ``flush``, in one
transaction, into Optuna's own tables, where any Optuna tool reads it. What is noted is which cells changed, not
how often, so the journal is bounded by the study and a flush may be repeated when its outcome is unknown. One
writer at a time owns a study: the epoch that it raised on opening is checked first in every transaction.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine

from kubetuna.search.optuna_internals import FilledStorage, FrozenStudy, id_of
from kubetuna.store.database import reading
from kubetuna.store.fencing import EPOCH, check_epoch, claim
from kubetuna.store.journal import Changes, write


class JournaledStorage(BaseStorage):
    """One study, opened for writing. Trial ids in memory are trial numbers."""

    def __init__(self, engine: Engine, study: Any, seen_as: str) -> None:
        self._engine = engine
        self._study = study
        self._memory = FilledStorage()
        self.study_id = self._memory.create_new_study(study.directions, seen_as)
        for key, value in study.user_attrs.items():
            self._memory.set_study_user_attr(self.study_id, key, value)
        for key, value in study.system_attrs.items():
            if key != EPOCH:
                self._memory.set_study_system_attr(self.study_id, key, value)
        self._ids: dict[int, int] = {trial.number: id_of(trial) for trial in study.trials}
        self._memory.fill(self.study_id, study.trials)
        self._changes = Changes()

    @classmethod
    def open(
        cls,
        engine: Engine,
        study_name: str,
        directions: Sequence[StudyDirection],
        *,
        writer: str,
        seen_as: str | None = None,
    ) -> JournaledStorage:
        """Create or load a study and become its writer.

        Samplers and pruners see it as ``seen_as``, since Hyperband derives brackets from the name.

        Raises:
            StoreError: it exists with other directions, or the database refuses.
            StoreUnavailable: the database cannot be reached.
        """
        study = claim(engine, study_name, tuple(directions), writer)
        return cls(engine, study, seen_as or study_name)

    @property
    def pending(self) -> int:
        """How many changed cells are not written yet."""
        return self._changes.count

    @property
    def epoch(self) -> int:
        """The epoch that this writer raised."""
        return int(self._study.epoch)

    def flush(self) -> None:
        """Write every change in one transaction; on any error all of them stay noted.

        Raises:
            StoreFenced: another writer has taken the study over.
            StudyNotFound: the study was deleted.
            ForeignTrials: another writer took a number that a new trial of ours has in memory.
            StoreUnavailable: the database cannot be reached now.
        """
        if self._changes.count:
            write(self._engine, self._study, self._memory, self._changes, self._ids)
            self._changes = Changes()

    def confirm(self) -> None:
        """Ask the database whether the study is still ours, with the errors of ``flush``."""
        with reading(self._engine) as connection:
            check_epoch(connection, self._study, lock=False)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = self._memory.create_new_trial(study_id, template_trial)
        self._changes.new_trial(self._memory.get_trial(trial_id))
        return trial_id

    def withdraw(self, trial_id: int) -> None:
        """Forget the newest trial, which no flush has written: its number is free again."""
        self._memory.drop_last()
        self._changes.withdraw(trial_id)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._memory.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._changes.params.add((trial_id, param_name))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        changed = self._memory.set_trial_state_values(trial_id, state, values)
        if changed:
            self._changes.states.add(trial_id)
        return changed

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        # In place: the memory's own method copies the whole curve for each of its points.
        trial = self._memory.get_trial(trial_id)
        self._memory.check_trial_is_updatable(trial_id, trial.state)
        trial.intermediate_values[step] = intermediate_value
        self._changes.set_step(trial_id, step)

    def withdraw_steps(self, trial_id: int, below: int) -> None:
        """Forget a trial's intermediate values of the steps below this one, written or not."""
        values = self._memory.get_trial(trial_id).intermediate_values
        for step in [step for step in values if step < below]:
            del values[step]
            self._changes.withdraw_step(trial_id, step)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._memory.set_trial_user_attr(trial_id, key, value)
        self._changes.trial_user[(trial_id, key)] = None

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._memory.set_trial_system_attr(trial_id, key, value)
        self._changes.trial_system[(trial_id, key)] = None

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._memory.set_study_user_attr(study_id, key, value)
        self._changes.study_user[key] = None

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._memory.set_study_system_attr(study_id, key, value)
        self._changes.study_system[key] = None

    def withdraw_study_attr(self, key: str) -> None:
        """Forget one of the study's system attributes, whoever wrote it."""
        self._memory.get_study_system_attrs(self.study_id).pop(key, None)
        self._changes.study_system.pop(key, None)
        self._changes.study_withdrawn[key] = None

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        raise NotImplementedError("a journaled storage holds the one study that it was opened for")

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError("a journaled storage never deletes its study")

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._memory.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._memory.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._memory.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._memory.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._memory.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._memory.get_all_studies()

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._memory.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._memory.get_trial(trial_id)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._memory.get_best_trial(study_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._memory.get_all_trials(study_id, deepcopy=False, states=states)
        return copy.deepcopy(trials) if deepcopy else trials

    def remove_session(self) -> None:
        """Nothing to remove: no session outlives a flush."""


__all__ = ["JournaledStorage"]
