"""Writing noted changes into Optuna's tables: a handful of multi-row statements, safe to repeat.

Every row goes in by insert-or-update on its natural key, so a batch whose commit was answered by a lost
connection is simply written again. A new trial is known by its number and its start to the microsecond: a row
that has both is ours, one that has only the number belongs to another writer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select

from kubetuna.errors import ForeignTrials
from kubetuna.store.database import writing
from kubetuna.store.fencing import ClaimedStudy, check_epoch
from kubetuna.store.tables import (
    INTERMEDIATE,
    PARAMS,
    STUDY_SYSTEM,
    STUDY_USER,
    TRIAL_SYSTEM,
    TRIAL_USER,
    TRIALS,
    VALUES,
    stored_intermediate,
    stored_value,
    upsert,
    utc,
)


@dataclass(slots=True)
class Changes:
    """Which cells changed since the last flush. Dicts stand for sets that keep their order."""

    new: list[int] = field(default_factory=list)
    params: set[tuple[int, str]] = field(default_factory=set)
    states: set[int] = field(default_factory=set)
    intermediate: dict[tuple[int, int], None] = field(default_factory=dict)
    withdrawn: dict[tuple[int, int], None] = field(default_factory=dict)
    trial_user: dict[tuple[int, str], None] = field(default_factory=dict)
    trial_system: dict[tuple[int, str], None] = field(default_factory=dict)
    study_user: dict[str, None] = field(default_factory=dict)
    study_system: dict[str, None] = field(default_factory=dict)
    study_withdrawn: dict[str, None] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many cells."""
        parts: tuple[Any, ...] = (
            self.new,
            self.params,
            self.states,
            self.intermediate,
            self.withdrawn,
            self.trial_user,
            self.trial_system,
            self.study_user,
            self.study_system,
            self.study_withdrawn,
        )
        return sum(map(len, parts))

    def new_trial(self, trial: FrozenTrial) -> None:
        """Note a trial, with all that its template brought along."""
        number = trial.number
        self.new.append(number)
        self.params.update((number, name) for name in trial.params)
        self.intermediate.update(dict.fromkeys((number, step) for step in trial.intermediate_values))
        self.trial_user.update(dict.fromkeys((number, key) for key in trial.user_attrs))
        self.trial_system.update(dict.fromkeys((number, key) for key in trial.system_attrs))
        if trial.state.is_finished():
            self.states.add(number)

    def set_step(self, number: int, step: int) -> None:
        """Note an intermediate value."""
        self.intermediate[(number, step)] = None
        self.withdrawn.pop((number, step), None)

    def withdraw_step(self, number: int, step: int) -> None:
        """Note that a step has no value any more."""
        self.intermediate.pop((number, step), None)
        self.withdrawn[(number, step)] = None

    def withdraw(self, number: int) -> None:
        """Forget everything of a trial that was new."""
        self.new.remove(number)
        self.states.discard(number)
        self.params = {cell for cell in self.params if cell[0] != number}
        self.intermediate = {cell: None for cell in self.intermediate if cell[0] != number}
        self.withdrawn = {cell: None for cell in self.withdrawn if cell[0] != number}
        self.trial_user = {cell: None for cell in self.trial_user if cell[0] != number}
        self.trial_system = {cell: None for cell in self.trial_system if cell[0] != number}


def write(
    engine: Engine, study: ClaimedStudy, memory: InMemoryStorage, changes: Changes, ids: dict[int, int]
) -> None:
    """Write ``changes`` in one transaction; ``ids`` (number to trial id) learns the new trials' ids."""
    with writing(engine) as connection:
        check_epoch(connection, study)
        known = {**ids, **_admit(connection, study, memory, changes.new)}
        _write_cells(connection, memory, changes, known)
        _write_states(connection, study, memory, changes, known)
        _write_study(connection, study, memory, changes)
    ids.update(known)


_PRESENT = select(TRIALS.c.number, TRIALS.c.trial_id, TRIALS.c.datetime_start).where(
    TRIALS.c.study_id == bindparam("study"), TRIALS.c.number >= bindparam("first")
)
_WITHDRAWN = delete(INTERMEDIATE).where(
    INTERMEDIATE.c.trial_id == bindparam("trial"), INTERMEDIATE.c.step == bindparam("at")
)
_WITHDRAWN_KEY = delete(STUDY_SYSTEM).where(
    STUDY_SYSTEM.c.study_id == bindparam("study"), STUDY_SYSTEM.c.key == bindparam("named")
)
_NUMBERED = insert(TRIALS).returning(TRIALS.c.number, TRIALS.c.trial_id)


def _admit(connection: Connection, study: ClaimedStudy, memory: InMemoryStorage, new: list[int]) -> dict[int, int]:
    if not new:
        return {}
    found = connection.execute(_PRESENT, {"study": study.study_id, "first": min(new)})
    present = {number: (trial_id, start) for number, trial_id, start in found}
    trials = {number: memory.get_trial(number) for number in new}
    if any(n not in trials or start != utc(trials[n].datetime_start) for n, (_, start) in present.items()):
        raise ForeignTrials(f"another writer added trials to study {study.name!r}")
    rows = [
        {
            "number": number,
            "study_id": study.study_id,
            "state": trial.state,
            "datetime_start": utc(trial.datetime_start),
            "datetime_complete": utc(trial.datetime_complete),
        }
        for number, trial in trials.items()
        if number not in present
    ]
    ids = {number: trial_id for number, (trial_id, _) in present.items()}
    if rows:
        ids.update((row.number, row.trial_id) for row in connection.execute(_NUMBERED, rows))
    return ids


def _write_cells(connection: Connection, memory: InMemoryStorage, changes: Changes, ids: Mapping[int, int]) -> None:
    upsert(connection, PARAMS, _param_rows(memory, changes.params, ids), ("trial_id", "param_name"), ())
    if changes.withdrawn:
        connection.execute(_WITHDRAWN, [{"trial": ids[number], "at": step} for number, step in changes.withdrawn])
    upsert(
        connection,
        INTERMEDIATE,
        _intermediate_rows(memory, changes.intermediate, ids),
        ("trial_id", "step"),
        ("intermediate_value", "intermediate_value_type"),
    )
    for table, cells, attribute in (
        (TRIAL_USER, changes.trial_user, "user_attrs"),
        (TRIAL_SYSTEM, changes.trial_system, "system_attrs"),
    ):
        rows = [
            {
                "trial_id": ids[number],
                "key": key,
                "value_json": json.dumps(getattr(memory.get_trial(number), attribute)[key]),
            }
            for number, key in cells
        ]
        upsert(connection, table, rows, ("trial_id", "key"), ("value_json",))


def _param_rows(
    memory: InMemoryStorage, cells: Iterable[tuple[int, str]], ids: Mapping[int, int]
) -> list[dict[str, Any]]:
    texts: dict[int, str] = {}
    rows = []
    for number in sorted({n for n, _ in cells}):
        trial = memory.get_trial(number)
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            text = texts.setdefault(id(distribution), "") or distribution_to_json(distribution)
            texts[id(distribution)] = text
            rows.append(
                {
                    "trial_id": ids[number],
                    "param_name": name,
                    "param_value": distribution.to_internal_repr(value),
                    "distribution_json": text,
                }
            )
    return rows


def _intermediate_rows(
    memory: InMemoryStorage, cells: Iterable[tuple[int, int]], ids: Mapping[int, int]
) -> list[dict[str, Any]]:
    rows = []
    for number, step in cells:
        value, kind = stored_intermediate(memory.get_trial(number).intermediate_values[step])
        rows.append(
            {
                "trial_id": ids[number],
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": kind,
            }
        )
    return rows


def _write_states(
    connection: Connection,
    study: ClaimedStudy,
    memory: InMemoryStorage,
    changes: Changes,
    ids: Mapping[int, int],
) -> None:
    trials = [memory.get_trial(number) for number in sorted(changes.states)]
    rows = [
        {
            "trial_id": ids[t.number],
            "number": t.number,
            "study_id": study.study_id,
            "state": t.state,
            "datetime_start": utc(t.datetime_start),
            "datetime_complete": utc(t.datetime_complete),
        }
        for t in trials
    ]
    upsert(connection, TRIALS, rows, ("trial_id",), ("state", "datetime_start", "datetime_complete"))
    values = [
        {"trial_id": ids[t.number], "objective": i, "value": stored[0], "value_type": stored[1]}
        for t in trials
        for i, stored in enumerate(stored_value(v) for v in t.values or ())
    ]
    upsert(connection, VALUES, values, ("trial_id", "objective"), ("value", "value_type"))


def _write_study(connection: Connection, study: ClaimedStudy, memory: InMemoryStorage, changes: Changes) -> None:
    for table, keys, attrs in (
        (STUDY_USER, changes.study_user, memory.get_study_user_attrs(0)),
        (STUDY_SYSTEM, changes.study_system, memory.get_study_system_attrs(0)),
    ):
        rows = [{"study_id": study.study_id, "key": key, "value_json": json.dumps(attrs[key])} for key in keys]
        upsert(connection, table, rows, ("study_id", "key"), ("value_json",))
    if changes.study_withdrawn:
        gone = [{"study": study.study_id, "named": key} for key in changes.study_withdrawn]
        connection.execute(_WITHDRAWN_KEY, gone)
