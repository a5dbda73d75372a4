"""What the journaled storage writes equals, field by field, what Optuna's own storage writes for the same calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from kubetuna.store.storage import JournaledStorage

SPACE = {
    "x": FloatDistribution(-1.0, 1.0),
    "lr": FloatDistribution(1e-6, 1e-2, log=True),
    "n": IntDistribution(1, 9, step=2),
    "kind": CategoricalDistribution(("a", 2, 0.5, True, None)),
}


def journaled(url: str, directions: list[StudyDirection]) -> JournaledStorage:
    engine = open_engine(url)
    ensure_schema(engine)
    return JournaledStorage.open(engine, "study", directions, writer="test")


def drive(storage: BaseStorage, directions: list[StudyDirection], sampler: BaseSampler, pruner: BasePruner) -> None:
    """Ask, report, prune and tell a fixed sequence that reaches every state."""
    if isinstance(storage, JournaledStorage):
        study = optuna.Study("study", storage, sampler=sampler, pruner=pruner)
    else:
        study = optuna.create_study(
            storage=storage, study_name="study", sampler=sampler, pruner=pruner, directions=directions
        )
    study.set_user_attr("note", {"a": [1, "ü"]})
    for number in range(14):
        trial = study.ask(SPACE)
        trial.set_user_attr("number", number)
        _live(study, trial, number, len(directions))
    if isinstance(storage, JournaledStorage):
        storage.flush()


def _live(study: optuna.Study, trial: optuna.Trial, number: int, objectives: int) -> None:
    if number == 3:
        study.tell(trial, state=TrialState.FAIL)
    elif number == 13:
        return
    elif objectives > 1:
        study.tell(trial, [number * 0.5, -1e308 if number == 4 else math.pi * number])
    else:
        for step in range(6):
            trial.report(math.inf if (number, step) == (5, 2) else (number % 5) + 1 / (step + 1), step)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return
        study.tell(trial, 1e-300 if number == 6 else float(number % 5))


def fields(trial: FrozenTrial) -> dict[str, Any]:
    """Everything of a trial but its times and its row's number."""
    return {
        "number": trial.number,
        "state": trial.state,
        "values": trial.values,
        "params": trial.params,
        "distributions": trial.distributions,
        "intermediate": trial.intermediate_values,
        "user": trial.user_attrs,
        "system": trial.system_attrs,
        "timed": (trial.datetime_start is not None, trial.datetime_complete is not None),
    }


def constraint(trial: FrozenTrial) -> tuple[float, ...]:
    return (trial.params["x"],)


CASES: dict[str, tuple[int, Callable[[], BaseSampler], Callable[[], BasePruner]]] = {
    "median": (1, lambda: RandomSampler(seed=1), lambda: MedianPruner(n_startup_trials=2)),
    "asha": (1, lambda: TPESampler(seed=1, n_startup_trials=3), SuccessiveHalvingPruner),
    "hyperband": (1, lambda: TPESampler(seed=2, n_startup_trials=3), lambda: HyperbandPruner(1, 6)),
    "constraints": (1, lambda: TPESampler(seed=3, constraints_func=constraint), MedianPruner),
    "objectives": (2, lambda: NSGAIISampler(seed=4, population_size=4, constraints_func=constraint), MedianPruner),
}


@pytest.mark.parametrize("case", CASES)
def test_a_study_reads_back_as_optuna_would_have_written_it(case: str, store_url: str, tmp_path: Path) -> None:
    count, sampler, pruner = CASES[case]
    directions = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE][:count]
    drive(journaled(store_url, directions), directions, sampler(), pruner())
    own = f"sqlite:///{tmp_path}/optuna.db"
    drive(RDBStorage(own), directions, sampler(), pruner())
    ours = optuna.load_study(study_name="study", storage=store_url)
    theirs = optuna.load_study(study_name="study", storage=own)
    assert ours.directions == theirs.directions and ours.user_attrs == theirs.user_attrs
    assert [fields(t) for t in ours.trials] == [fields(t) for t in theirs.trials]
    assert {t.state for t in ours.trials} >= {TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING}


def test_the_tables_hold_the_same_values_as_optunas(store_url: str, tmp_path: Path) -> None:
    """Row by row: also what Optuna would only show in another version."""
    from sqlalchemy import MetaData, create_engine, select

    directions = [StudyDirection.MINIMIZE]
    drive(journaled(store_url, directions), directions, RandomSampler(seed=1), SuccessiveHalvingPruner())
    own = f"sqlite:///{tmp_path}/optuna.db"
    drive(RDBStorage(own), directions, RandomSampler(seed=1), SuccessiveHalvingPruner())

    def rows(url: str, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
        engine = create_engine(url)
        meta = MetaData()
        meta.reflect(engine)
        with engine.connect() as connection:
            found = connection.execute(select(*(meta.tables[table].c[c] for c in columns)))
            return sorted(tuple(map(str, row)) for row in found)

    for table, columns in {
        "trial_values": ["trial_id", "objective", "value", "value_type"],
        "trial_intermediate_values": ["trial_id", "step", "intermediate_value", "intermediate_value_type"],
        "trial_params": ["trial_id", "param_name", "param_value", "distribution_json"],
        "trial_user_attributes": ["trial_id", "key", "value_json"],
        "trial_system_attributes": ["trial_id", "key", "value_json"],
        "alembic_version": ["version_num"],
        "version_info": ["schema_version"],
    }.items():
        assert rows(store_url, table, columns) == rows(own, table, columns), table


def test_a_second_writer_fences_the_first(store_url: str) -> None:
    from kubetuna.errors import StoreFenced

    directions = [StudyDirection.MINIMIZE]
    first = journaled(store_url, directions)
    second = journaled(store_url, directions)
    second.create_new_trial(second.study_id)
    second.flush()
    first.create_new_trial(first.study_id)
    with pytest.raises(StoreFenced):
        first.flush()
    assert len(optuna.load_study(study_name="study", storage=store_url).trials) == 1


def test_the_first_of_two_writers_learns_it_also_where_it_has_nothing_to_write(store_url: str) -> None:
    from kubetuna.errors import StoreFenced

    first = journaled(store_url, [StudyDirection.MINIMIZE])
    first.confirm()
    second = journaled(store_url, [StudyDirection.MINIMIZE])
    with pytest.raises(StoreFenced):
        first.confirm()
    second.confirm()


def test_trials_of_another_writer_are_never_overwritten(store_url: str) -> None:
    from kubetuna.errors import ForeignTrials

    directions = [StudyDirection.MINIMIZE]
    storage = journaled(store_url, directions)
    storage.create_new_trial(storage.study_id)
    foreign = optuna.load_study(study_name="study", storage=store_url)
    foreign.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(ForeignTrials):
        storage.flush()
    assert len(journaled(store_url, directions).get_all_trials(storage.study_id)) == 1


def test_another_versions_tables_are_refused(store_url: str) -> None:
    from sqlalchemy import create_engine, text

    from kubetuna.errors import StoreError

    RDBStorage(store_url)
    with create_engine(store_url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9.9.9.a'"))
    with pytest.raises(StoreError, match=r"v9\.9\.9\.a"):
        ensure_schema(open_engine(store_url))


def test_optunas_own_database_can_be_taken_up(store_url: str) -> None:
    study = optuna.create_study(storage=store_url, study_name="study")
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2)
    storage = journaled(store_url, [StudyDirection.MINIMIZE])
    assert [t.number for t in storage.get_all_trials(storage.study_id)] == [0, 1]
    storage.create_new_trial(storage.study_id)
    storage.flush()
    assert len(study.trials) == 3


@pytest.mark.parametrize("written", [False, True])
def test_withdrawn_steps_are_as_if_they_had_never_been_reported(tmp_path: Path, written: bool) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    storage = journaled(url, [StudyDirection.MINIMIZE])
    trial = storage.create_new_trial(storage.study_id)
    for step in range(4):
        storage.set_trial_intermediate_value(trial, step, 9.0)
    if written:
        storage.flush()
    storage.withdraw_steps(trial, 3)
    storage.set_trial_intermediate_value(trial, 1, 0.5)
    storage.flush()
    assert storage.get_trial(trial).intermediate_values == {3: 9.0, 1: 0.5}
    (stored,) = optuna.load_study(study_name="study", storage=url).trials
    assert stored.intermediate_values == {1: 0.5, 3: 9.0}
