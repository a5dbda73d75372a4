"""Connections to the two kinds of database that keep studies, and their errors in words.

SQLite is the embedded default, PostgreSQL what a cluster uses; everything above this module is the same for
both. A URL's password never reaches a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from kubetuna.errors import StoreError, StoreUnavailable
from kubetuna.experiment.units import duration

WRITE = "kubetuna_write"
# Marks a connection whose session is not ours alone: a pooler in front of the server gives it to others in between.
POOLED = "kubetuna_pooled"
# A setting of no effect, which a session has only where all of ours reached it.
OWN_SESSION = "kubetuna.session"
# How long a statement of ours may wait for another writer's lock before it counts as unavailable.
LOCK_SECONDS = 10
# An operator's connections, however many experiments it has: each holds one for a transaction only.
POOL_SIZE, POOL_OVERFLOW, POOL_SECONDS = 2, 2, 10
IDLE = "idle_in_transaction_session_timeout"
SETTINGS = {
    # What was flushed must survive a crash of the server, also where its default gives that away for speed.
    "synchronous_commit": "on",
    "statement_timeout": "60000",
    "lock_timeout": str(LOCK_SECONDS * 1000),
    # A process that is frozen amid a transaction would keep its locks for as long as its machine answers, and
    # whoever takes its study over would wait. It is longer than anything of ours takes that is merely slow.
    IDLE: "20000",
}
NETWORK: dict[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # Milliseconds. A server without power acknowledges nothing, and TCP alone gives up after a quarter of an hour.
    "tcp_user_timeout": 15_000,
}


def open_engine(url: str) -> Engine:
    """An engine for a SQLite or PostgreSQL URL; connects on first use.

    Raises:
        StoreError: another kind of URL, or none at all.
    """
    parsed = parse_url(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgres(parsed)


def _postgres(url: URL) -> Engine:
    own = str(url.query.get("options", ""))
    settings = " ".join(f"-c {name}={value}" for name, value in {**SETTINGS, OWN_SESSION: "yes"}.items())
    engine = sqlalchemy.create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=True,
        # One round trip for many rows, rather than one each.
        executemany_mode="values_plus_batch",
        executemany_batch_page_size=1000,
        hide_parameters=True,
        # What the URL says itself wins.
        connect_args={
            **{name: value for name, value in NETWORK.items() if name not in url.query},
            "options": f"{settings} {own}".strip(),
        },
    )

    def connect(dialect: Any, _record: Any, args: Any, named: dict[str, Any]) -> Any:
        try:
            return dialect.connect(*args, **named)
        except dialect.loaded_dbapi.OperationalError as error:
            if "unsupported startup parameter" not in str(error):
                raise
            return dialect.connect(*args, **{**named, "options": own})

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", _mark_pooled)
    event.listen(engine, "begin", _settle)
    return engine


def _mark_pooled(connection: Any, record: Any) -> None:
    """PgBouncer refuses our settings or drops them, as it is configured; then nothing may rely on the session."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT current_setting('{OWN_SESSION}', true)")
        record.info[POOLED] = cursor.fetchone()[0] != "yes"
    connection.autocommit = False


def _settle(connection: Connection) -> None:
    if connection.info.get(POOLED):
        connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = {value}" for name, value in SETTINGS.items()))


def parse_url(url: str) -> URL:
    """The URL with its driver named; ``postgres://`` and ``postgresql://`` mean psycopg2's."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise StoreError(f"store {_hidden(url)!r} is not a database URL; {_ALLOWED}") from error
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


def write_only_while(engine: Engine, may: Callable[[], bool]) -> None:
    """Let nothing be written through an engine unless it ``may``, asked as each transaction is to be committed."""

    def check(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITE) and not may():
            why = "another one may be the writer by now"
            raise StoreUnavailable(f"nothing is written: {why}", f"the database was not written to: {why}")

    event.listen(engine, "commit", check)


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
        words = f"has no connection free for {duration(POOL_SECONDS)}: it is slow, or stands still"
        raise _unavailable(engine.url, words, "all connections of this process are in use") from error
    except (exc.PendingRollbackError, exc.ResourceClosedError, exc.DisconnectionError) as error:
        raise _unavailable(engine.url, _LOST, type(error).__name__) from error
    except exc.SQLAlchemyError as error:
        raise StoreError(f"the store at {place(engine.url)} failed: {type(error).__name__}") from error


def place(url: URL) -> str:
    """Where a store is, without its password, which may stand among the options too."""
    return url.set(query={}).render_as_string(hide_password=True)


@dataclass(frozen=True, slots=True)
class _Cause:
    """What a driver's error means, as words after "the database"; ``passing``: it may work later as it is."""

    words: str
    passing: bool = False


_LOST = "cannot be reached"
_FULL = "is full: its disk has no room left"
_READ_ONLY = "is read-only: a standby that is not promoted, or set so by its owner"
_TOO_MANY = "takes no more connections: raise its max_connections, or put PgBouncer in front of it"
_USER, _PASSWORD = "refuses this user", "refuses this user's password"
_NO_TABLES, _ABSENT = "has no tables of a study", "does not exist; create the database first"
_LOCKED = _Cause("is locked by another writer", passing=True)

# PostgreSQL's SQLSTATE, or the class that it begins with. What an administrator can mend is waited for.
_STATES = {
    "53100": _Cause(_FULL, passing=True),
    "25006": _Cause(_READ_ONLY, passing=True),
    "53300": _Cause(_TOO_MANY, passing=True),
    "55P03": _LOCKED,
    "28P01": _Cause(_PASSWORD),
    "28": _Cause(_USER),
    "42501": _Cause(_USER),
    "42P01": _Cause(_NO_TABLES),
    "3D000": _Cause(_ABSENT),
    # Connection, transaction and resources: lost, rolled back, short, in use, stopped by the server, its own disk.
    **{kind: _Cause(_LOST, passing=True) for kind in ("08", "25", "40", "53", "55", "57", "58")},
}

# Of SQLite, and of what refuses a connection before it has a state; the first that is in the text counts.
_SIGNS = {
    "unable to open database file": _Cause("cannot be opened: does its folder exist, and may you write there"),
    "file is not a database": _Cause("is not a SQLite database"),
    "malformed": _Cause("is damaged"),
    "readonly database": _Cause("is read-only"),
    "read-only": _Cause(_READ_ONLY, passing=True),
    "disk is full": _Cause(_FULL),
    "no space left": _Cause(_FULL, passing=True),
    "too many c": _Cause(_TOO_MANY, passing=True),
    "connection slots": _Cause(_TOO_MANY, passing=True),
    "no more connections": _Cause(_TOO_MANY, passing=True),
    "permission denied": _Cause(_USER),
    "password authentication failed": _Cause(_PASSWORD),
    "no pg_hba.conf entry": _Cause("refuses this user or machine: see its pg_hba.conf"),
    "no such table": _Cause(_NO_TABLES),
    "locked": _LOCKED,
}


def translate(error: exc.DBAPIError, url: URL) -> StoreError:
    """A driver's error as what a person should do about it."""
    text = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error).__name__
    cause = _cause(error, text.lower())
    if cause is None:
        return StoreError(f"the store at {place(url)} failed: {text}")
    if cause.passing:
        return _unavailable(url, cause.words, text)
    return StoreError(f"the store at {place(url)} {cause.words} ({text})", f"the database {cause.words}")


def _cause(error: exc.DBAPIError, text: str) -> _Cause | None:
    state = getattr(error.orig, "pgcode", None) or ""
    known = _STATES.get(state) or _STATES.get(state[:2])
    if known is None and not state:
        known = next((cause for sign, cause in _SIGNS.items() if sign in text), None)
        if "does not exist" in text and ('database "' in text or 'role "' in text):
            known = _Cause(_ABSENT if 'database "' in text else _USER)
    # A plain DatabaseError is what the driver makes of an answer that was cut off.
    lost = isinstance(error, exc.OperationalError | exc.InterfaceError) or type(error) is exc.DatabaseError
    if known is None and (lost or error.connection_invalidated):
        known = _Cause(_LOST, passing=True)
    return known


def _unavailable(url: URL, words: str, text: str) -> StoreUnavailable:
    return StoreUnavailable(f"the store at {place(url)} {words} ({text})", f"the database {words}")
