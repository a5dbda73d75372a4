"""Optuna's own tables, made by Optuna's own code, one maker at a time.

Several processes that make the tables of an empty database at once fail on each other, so it is done under a
lock. A schema of another version is refused rather than guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from sqlalchemy import Connection, Engine, inspect, text

from kubetuna.errors import StoreError
from kubetuna.store.database import place, reading, translated, writing

REVISION = "v3.2.0.a"
SCHEMA_LOCK = 0x6B756265


def ensure_schema(engine: Engine) -> None:
    """Make the tables where there are none, and check their version.

    Raises:
        StoreError: the tables are of a version that this kubetuna does not know.
    """
    if not _has_tables(engine):
        with _one_maker(engine):
            if not _has_tables(engine):
                _make(engine)
    check_schema(engine)


def check_schema(engine: Engine) -> None:
    """Refuse a database without Optuna's tables, and a schema of another version."""
    if not _has_tables(engine):
        where = place(engine.url)
        raise StoreError(f"the store at {where} has no Optuna tables, so no study; give another --store")
    with reading(engine) as connection:
        found = _revision(connection)
    if found != REVISION:
        raise StoreError(
            f"the store at {place(engine.url)} has Optuna's tables in version {found}, kubetuna needs "
            f"{REVISION}; run 'optuna storage upgrade --storage URL', or use another store"
        )


def _has_tables(engine: Engine) -> bool:
    with translated(engine):
        return inspect(engine).has_table("alembic_version")


def _revision(connection: Connection) -> str | None:
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _make(engine: Engine) -> None:
    with translated(engine):
        optuna.storages.RDBStorage(engine.url.render_as_string(hide_password=False)).engine.dispose()


@contextmanager
def _one_maker(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        with _file_lock(str(engine.url.database)):
            yield
        return
    with writing(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
        yield


@contextmanager
def _file_lock(database: str) -> Iterator[None]:
    import fcntl

    try:
        lock = open(f"{database}.schema.lock", "a")  # noqa: SIM115, PTH123
    except OSError as error:
        raise StoreError(f"the store {database} cannot be made: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
