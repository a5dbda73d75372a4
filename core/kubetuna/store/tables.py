"""Optuna's tables as SQLAlchemy core sees them, and values as Optuna stores them.

Taken from Optuna's own models, so that a column's type and an infinite value's form are never written twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, Table, or_
from sqlalchemy.dialects import postgresql, sqlite

from kubetuna.search.optuna_internals import table_models

models = table_models()

STUDIES: Table = models.StudyModel.__table__
DIRECTIONS: Table = models.StudyDirectionModel.__table__
STUDY_USER: Table = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM: Table = models.StudySystemAttributeModel.__table__
TRIALS: Table = models.TrialModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
VALUES: Table = models.TrialValueModel.__table__
INTERMEDIATE: Table = models.TrialIntermediateValueModel.__table__
TRIAL_USER: Table = models.TrialUserAttributeModel.__table__
TRIAL_SYSTEM: Table = models.TrialSystemAttributeModel.__table__

_STILL_OPEN = or_(TRIALS.c.state == TrialState.RUNNING, TRIALS.c.state == TrialState.WAITING)

stored_value = models.TrialValueModel.value_to_stored_repr
loaded_value = models.TrialValueModel.stored_repr_to_value
stored_intermediate = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
loaded_intermediate = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value


def utc(moment: datetime | None) -> datetime | None:
    """Naive UTC, as the columns hold it, of naive local time, as Optuna's objects hold it."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def local(moment: datetime | None) -> datetime | None:
    """The reverse of ``utc``."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    keys: tuple[str, ...],
    changed: tuple[str, ...],
) -> None:
    """Insert rows; where ``keys`` exist already, set ``changed`` (nothing, where that is empty)."""
    if rows:
        connection.execute(_upsert(connection.dialect.name, table, keys, changed), list(rows))


@cache
def _upsert(dialect_name: str, table: Table, keys: tuple[str, ...], changed: tuple[str, ...]) -> Any:
    """The statement, built once: building it takes longer than the database takes to carry it out."""
    dialect = postgresql if dialect_name == "postgresql" else sqlite
    statement: Any = dialect.insert(table)
    index = [table.c[key] for key in keys]
    if not changed:
        return statement.on_conflict_do_nothing(index_elements=index)
    updates = {name: statement.excluded[name] for name in changed}
    # A state moves one way: what somebody finished from the dashboard stays as it is there.
    where = _STILL_OPEN if table is TRIALS else None
    return statement.on_conflict_do_update(index_elements=index, set_=updates, where=where)
