"""Connections to the two kinds of database that keep studies, and their errors in words.

SQLite is the embedded default, PostgreSQL what a cluster uses; everything above this module is the same for
both. A URL's password never reaches a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from kubetuna.errors import StoreError, StoreUnavailable

WRITE = "kubetuna_write"
# How long a statement of ours may wait for another writer's lock before it counts as unavailable.
LOCK_SECONDS = 10


def open_engine(url: str) -> Engine:
    """An engine for a SQLite or PostgreSQL URL; connects on first use.

    Raises:
        StoreError: another kind of URL, or none at all.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    return sqlalchemy.create_engine(
        parsed,
        pool_size=2,
        max_overflow=2,
        pool_pre_ping=True,
        # One round trip for many rows, rather than one each.
        executemany_mode="values_plus_batch",
        executemany_batch_page_size=1000,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            # What was flushed must survive a crash of the server, also where its default gives that away for speed.
            "options": f"-c synchronous_commit=on -c statement_timeout=60000 -c lock_timeout={LOCK_SECONDS * 1000}",
        },
    )


def parse_url(url: str) -> URL:
    """The URL with its driver named; ``postgres://`` and ``postgresql://`` mean psycopg2's."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise StoreError(f"store {_hidden(url)!r} is no database URL; {_ALLOWED}") from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg2")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"store of kind {parsed.drivername!r} cannot keep a study; {_ALLOWED}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError(f"a store in memory keeps nothing; {_ALLOWED}")
    return parsed


_ALLOWED = "use sqlite:///FILE.db or postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE"


def _hidden(url: str) -> str:
    scheme, found, rest = url.partition("://")
    return f"{scheme}://…{rest.rpartition('@')[2].partition('?')[0]}" if found else scheme[:20]


def _sqlite(url: URL) -> Engine:
    engine = sqlalchemy.create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": LOCK_SECONDS},
    )

    def connected(connection: Any, _record: Any) -> None:
        # The driver would open transactions on its own, and too late to be the first writer.
        connection.isolation_level = None

    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get(WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write, committed at the end; database errors become kubetuna's.

    Raises:
        StoreUnavailable: the database cannot be reached, or another writer keeps it locked.
        StoreError: it can be reached and refuses: read-only, full, no database at all.
    """
    options = {WRITE: True}
    with translated(engine), engine.connect() as connection, connection.execution_options(**options).begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads, with the same errors as ``writing``."""
    with translated(engine), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn the database's errors into ours."""
    try:
        yield
    except exc.DBAPIError as error:
        raise translate(error, engine.url) from error
    except exc.TimeoutError as error:
        # All connections are in use, as they are while the server hangs.
        raise StoreUnavailable(f"the store at {place(engine.url)} answers too slowly") from error
    except exc.SQLAlchemyError as error:
        raise StoreError(f"the store at {place(engine.url)} failed: {type(error).__name__}") from error


def place(url: URL) -> str:
    """Where a store is, without its password, which may stand among the options too."""
    return url.set(query={}).render_as_string(hide_password=True)


def translate(error: exc.DBAPIError, url: URL) -> StoreError:
    """The one table from a driver's error to what a person should do."""
    text = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error).__name__
    lowered = text.lower()
    where = place(url)
    final = {
        "unable to open database file": "cannot be opened: does its folder exist, and may you write there",
        "file is not a database": "is no SQLite database",
        "malformed": "is damaged",
        "readonly database": "is read-only",
        "read-only": "is read-only",
        "disk is full": "is full: its disk has no room left",
        "disk full": "is full: its disk has no room left",
        "no space left": "is full: its disk has no room left",
        "permission denied": "refuses this user",
        "password authentication failed": "refuses this user's password",
        "no such table": "has no tables of a study",
        "undefinedtable": "has no tables of a study",
    }
    for sign, words in final.items():
        if sign in lowered:
            return StoreError(f"the store at {where} {words} ({text})")
    if 'database "' in lowered and "does not exist" in lowered:
        return StoreError(f"the store at {where} does not exist; create the database first ({text})")
    if "locked" in lowered or "lock timeout" in lowered:
        return StoreUnavailable(f"the store at {where} is locked by another writer ({text})")
    if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
        return StoreUnavailable(f"the store at {where} cannot be reached ({text})")
    return StoreError(f"the store at {where} failed: {text}")
