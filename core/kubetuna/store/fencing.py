"""Becoming a study's writer: made or found by name, its epoch raised, its trials loaded, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Engine, bindparam, select

from kubetuna.errors import StoreError, StoreFenced, StudyNotFound
from kubetuna.store.database import writing
from kubetuna.store.loading import load_attributes, load_trials
from kubetuna.store.tables import DIRECTIONS, STUDIES, STUDY_SYSTEM, upsert

EPOCH = "kubetuna:epoch"


@dataclass(frozen=True, slots=True)
class ClaimedStudy:
    """A study as loaded by its new writer."""

    study_id: int
    name: str
    epoch: int
    directions: tuple[StudyDirection, ...]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    trials: Sequence[FrozenTrial]


def claim(engine: Engine, name: str, directions: tuple[StudyDirection, ...], writer: str) -> ClaimedStudy:
    """Create or load the study ``name`` and raise its epoch."""
    with writing(engine) as connection:
        study_id = _find(connection, name)
        if study_id is None:
            study_id = _create(connection, name, directions)
        found = load_directions(connection, study_id)
        if found != directions:
            raise StoreError(
                f"study {name!r} exists with directions {_names(found)}, the experiment has "
                f"{_names(directions)}; give metadata.name another value, or use another store"
            )
        user, system = load_attributes(connection, study_id)
        epoch = int(system.get(EPOCH, {}).get("number", 0)) + 1
        _write_epoch(connection, study_id, epoch, writer)
        trials = load_trials(connection, study_id)
        _check_numbers(name, trials)
        return ClaimedStudy(study_id, name, epoch, found, user, system, trials)


def _find(connection: Connection, name: str) -> int | None:
    query = select(STUDIES.c.study_id).where(STUDIES.c.study_name == name).with_for_update()
    found: int | None = connection.execute(query).scalar()
    return found


def _create(connection: Connection, name: str, directions: Sequence[StudyDirection]) -> int:
    upsert(connection, STUDIES, [{"study_name": name}], ("study_name",), ())
    study_id = _find(connection, name)
    assert study_id is not None
    rows = [{"study_id": study_id, "objective": i, "direction": d} for i, d in enumerate(directions)]
    upsert(connection, DIRECTIONS, rows, ("study_id", "objective"), ())
    return study_id


def load_directions(connection: Connection, study_id: int) -> tuple[StudyDirection, ...]:
    """The study's directions, by objective."""
    query = select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == study_id).order_by(DIRECTIONS.c.objective)
    return tuple(connection.execute(query).scalars())


def _write_epoch(connection: Connection, study_id: int, epoch: int, writer: str) -> None:
    value = json.dumps({"number": epoch, "writer": writer})
    row = {"study_id": study_id, "key": EPOCH, "value_json": value}
    upsert(connection, STUDY_SYSTEM, [row], ("study_id", "key"), ("value_json",))


_EPOCH = (
    select(STUDY_SYSTEM.c.value_json)
    .select_from(STUDIES.join(STUDY_SYSTEM, STUDY_SYSTEM.c.study_id == STUDIES.c.study_id))
    .where(STUDIES.c.study_id == bindparam("study"), STUDY_SYSTEM.c.key == EPOCH)
)
# Both rows are locked: the study's, as every Optuna locks it to number a trial, and then the epoch's, which is read
# as it stands once the lock is had and not as it stood when the wait for it began.
_LOCKED_EPOCH = _EPOCH.with_for_update()


def check_epoch(connection: Connection, study: ClaimedStudy, lock: bool = True) -> None:
    """Make sure that a study is still ours, locking it: first in every writing transaction.

    Raises:
        StudyNotFound: it was deleted.
        StoreFenced: another writer raised the epoch.
    """
    text = connection.execute(_LOCKED_EPOCH if lock else _EPOCH, {"study": study.study_id}).scalar()
    if text is None:
        raise StudyNotFound(f"study {study.name!r} was deleted from the store while it ran")
    found = json.loads(text)
    if found.get("number") != study.epoch:
        raise StoreFenced(
            f"study {study.name!r} was taken over by {found.get('writer', 'another writer')}; "
            "this one has stopped writing"
        )


def _check_numbers(name: str, trials: Sequence[FrozenTrial]) -> None:
    for index, trial in enumerate(trials):
        if trial.number != index:
            raise StoreError(
                f"study {name!r} is damaged: trial {index} is missing or doubled; "
                "give metadata.name another value, or use another store"
            )


def _names(directions: Sequence[StudyDirection]) -> str:
    return ", ".join(d.name.lower() for d in directions)
