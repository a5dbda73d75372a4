"""What people ask of a study's trials, on its way to whoever runs it: one row each, taken out with its answer.

Anyone may add a row, whether or not a runner lives; only the study's writer takes one out, in the transaction in
which it does what the row says. So a request is neither lost nor heeded twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from kubetuna.errors import RequestRefused, StoreError
from kubetuna.store.database import reading, writing
from kubetuna.store.reader import read_study_id, stored_name
from kubetuna.store.tables import STUDIES, STUDY_SYSTEM, upsert
from kubetuna.trials.records import REQUEST

# How many may wait in all, and how many a runner takes at once.
WAITING_LIMIT, TAKEN_AT_ONCE = 1_000, 100
LOOK_SECONDS = 1.0

_KEY = STUDY_SYSTEM.c.key
_WRITTEN = func.substr(_KEY, 1, len(REQUEST)) == REQUEST


def write_request(engine: Engine, name: str, request: str, line: str) -> None:
    """Write a request down for whoever runs the study.

    Raises:
        StudyNotFound: there is no study of that name.
        RequestRefused: too many wait already.
    """
    study_id = read_study_id(engine, stored_name(engine, name))
    row = {"study_id": study_id, "key": REQUEST + request, "value_json": json.dumps(line)}
    with writing(engine) as connection:
        waiting = connection.execute(select(func.count()).where(STUDY_SYSTEM.c.study_id == study_id, _WRITTEN))
        if waiting.scalar_one() >= WAITING_LIMIT:
            raise RequestRefused(f"{WAITING_LIMIT:,} requests wait already; run the experiment, then ask again")
        upsert(connection, STUDY_SYSTEM, [row], ("study_id", "key"), ())


class StoredRequests:
    """The requests of one study as they stand, by ID, looked up once a second."""

    def __init__(self, engine: Engine, name: str, now: Callable[[], float]) -> None:
        self._engine, self._name, self._now = engine, name, now
        self._looked, self._found = float("-inf"), dict[str, str]()

    def __call__(self) -> Mapping[str, str]:
        """The first of them, in the order of their IDs. While the database is away, as they were."""
        now = self._now()
        if abs(now - self._looked) >= LOOK_SECONDS:
            with suppress(StoreError), reading(self._engine) as connection:
                self._found = _written(connection, self._name)
                self._looked = now
        return self._found


def _written(connection: Connection, name: str) -> dict[str, str]:
    of_study = STUDIES.join(STUDY_SYSTEM, STUDY_SYSTEM.c.study_id == STUDIES.c.study_id)
    query = (
        select(_KEY, STUDY_SYSTEM.c.value_json).select_from(of_study).where(STUDIES.c.study_name == name, _WRITTEN)
    )
    rows = connection.execute(query.order_by(_KEY).limit(TAKEN_AT_ONCE))
    return {key.removeprefix(REQUEST): _line(value) for key, value in rows}


def _line(value: str) -> str:
    """A row's line; one that another program wrote may be anything, and is answered as it stands."""
    line: Any = json.loads(value)
    return line if isinstance(line, str) else json.dumps(line)
