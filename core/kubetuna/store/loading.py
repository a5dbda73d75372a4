"""Reading a whole study with one flat SELECT per table.

Optuna's own loading builds an object per row and is some twenty times slower; here each distinct distribution
is parsed once and shared by all trials.
"""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Select, Table, select

from kubetuna.store.tables import (
    INTERMEDIATE,
    PARAMS,
    STUDY_SYSTEM,
    STUDY_USER,
    TRIAL_SYSTEM,
    TRIAL_USER,
    TRIALS,
    VALUES,
    loaded_intermediate,
    loaded_value,
    local,
)

Attributes = dict[str, Any]


def load_attributes(connection: Connection, study_id: int) -> tuple[Attributes, Attributes]:
    """The study's user and system attributes."""
    user, system = (
        {
            key: json.loads(value)
            for key, value in connection.execute(
                select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)
            )
        }
        for table in (STUDY_USER, STUDY_SYSTEM)
    )
    return user, system


@contextmanager
def _without_collection() -> Iterator[None]:
    """No garbage collection: of so many new objects, all of them kept, it takes a third of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def load_trials(connection: Connection, study_id: int) -> list[FrozenTrial]:
    """Every trial of a study, by number."""
    with _without_collection():
        return _load_trials(connection, study_id)


def _load_trials(connection: Connection, study_id: int) -> list[FrozenTrial]:
    params = _params(connection, study_id)
    values = _values(connection, study_id)
    curves = _curves(connection, study_id)
    user, system = (_attributes(connection, table, study_id) for table in (TRIAL_USER, TRIAL_SYSTEM))
    columns = (
        TRIALS.c.trial_id,
        TRIALS.c.number,
        TRIALS.c.state,
        TRIALS.c.datetime_start,
        TRIALS.c.datetime_complete,
    )
    rows = connection.execute(
        select(*columns).where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number, TRIALS.c.trial_id)
    )
    trials = []
    for trial_id, number, state, start, complete in rows:
        named, distributions = params.get(trial_id, ({}, {}))
        trial = FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=values.get(trial_id),
            datetime_start=local(start),
            datetime_complete=local(complete),
            params=named,
            distributions=distributions,
            user_attrs=user.get(trial_id, {}),
            system_attrs=system.get(trial_id, {}),
            intermediate_values=curves.get(trial_id, {}),
            trial_id=trial_id,
        )
        trials.append(trial)
    return trials


def _of_study(table: Table, study_id: int, *columns: Any) -> Select[Any]:
    return (
        select(table.c.trial_id, *columns)
        .join(TRIALS, TRIALS.c.trial_id == table.c.trial_id)
        .where(TRIALS.c.study_id == study_id)
    )


def _params(connection: Connection, study_id: int) -> dict[int, tuple[dict[str, Any], dict[str, BaseDistribution]]]:
    found: dict[int, tuple[dict[str, Any], dict[str, BaseDistribution]]] = {}
    parsed: dict[str, BaseDistribution] = {}
    columns = (PARAMS.c.param_name, PARAMS.c.param_value, PARAMS.c.distribution_json)
    query = _of_study(PARAMS, study_id, *columns).order_by(PARAMS.c.param_id)
    for trial_id, name, value, text in connection.execute(query).all():
        distribution = parsed.get(text)
        if distribution is None:
            distribution = parsed[text] = json_to_distribution(text)
        named, distributions = found.setdefault(trial_id, ({}, {}))
        named[name] = distribution.to_external_repr(value)
        distributions[name] = distribution
    return found


def _values(connection: Connection, study_id: int) -> dict[int, list[float]]:
    found: dict[int, list[float]] = defaultdict(list)
    columns = (VALUES.c.value, VALUES.c.value_type)
    for trial_id, value, kind in connection.execute(
        _of_study(VALUES, study_id, *columns).order_by(VALUES.c.objective)
    ).all():
        found[trial_id].append(loaded_value(value, kind))
    return found


def _curves(connection: Connection, study_id: int) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = defaultdict(dict)
    columns = (
        INTERMEDIATE.c.step,
        INTERMEDIATE.c.intermediate_value,
        INTERMEDIATE.c.intermediate_value_type,
    )
    rows: Iterable[Any] = connection.execute(
        _of_study(INTERMEDIATE, study_id, *columns).order_by(INTERMEDIATE.c.trial_intermediate_value_id)
    ).all()
    for trial_id, step, value, kind in rows:
        found[trial_id][step] = loaded_intermediate(value, kind)
    return found


def _attributes(connection: Connection, table: Table, study_id: int) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    query = _of_study(table, study_id, table.c.key, table.c.value_json)
    for trial_id, key, value in connection.execute(query).all():
        found[trial_id][key] = json.loads(value)
    return found
