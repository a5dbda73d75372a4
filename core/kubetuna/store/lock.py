"""One live runner per study: a lock that ends with its holder, at once, however the holder ends.

SQLite studies are held by a lock on a file beside the database, PostgreSQL's by an advisory lock of a session
of its own. This is for liveness, and for telling who holds a study; safety is the study's epoch.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from kubetuna.errors import StoreError, StudyHeld
from kubetuna.store.database import IDLE, POOLED, reading, translated
from kubetuna.trials.records import timestamp

# Beside "kubetuna:…" so that our session locks cannot meet another program's.
LOCK_CLASS = 0x6B75
# How often, and after how long, a lock is tried again that somebody may only be looking at.
GLANCES, GLANCE_SECONDS = 3, 0.05
_HOLDER = (
    "SELECT application_name FROM pg_locks l LEFT JOIN pg_stat_activity a ON l.pid = a.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.classid = :cls AND l.objid::int8 = :unsigned "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a study: the machine, the process, since when (seconds since the epoch)."""

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {timestamp(self.since)}"


class StudyLock(Protocol):
    """A hold on a study."""

    def renew(self) -> None:
        """Take the hold again where the database has lost it.

        Raises:
            StudyHeld: somebody else holds it by now.
            StoreUnavailable: the database cannot be reached.
        """


@contextmanager
def hold(engine: Engine, study_name: str, holder: Holder) -> Iterator[StudyLock]:
    """Hold a study for as long as the context lasts.

    Raises:
        StudyHeld: another live process holds it; the message says which.
    """
    manager = _hold_file if engine.dialect.name == "sqlite" else _hold_session
    with manager(engine, study_name, holder) as held:
        yield held


def is_held(engine: Engine, study_name: str) -> bool:
    """Whether a live process holds a study now; one that cannot be asked is taken for held."""
    if engine.dialect.name == "sqlite":
        return _file_is_held(_lock_file(engine, study_name))
    with reading(engine) as connection:
        found = connection.execute(text(_HOLDER), {"cls": LOCK_CLASS, "unsigned": _key(study_name) % 2**32})
        return found.first() is not None


def _file_is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class _File:
    """A lock that the operating system keeps needs no renewal."""

    def renew(self) -> None:
        """Nothing."""


@contextmanager
def _hold_file(engine: Engine, study_name: str, holder: Holder) -> Iterator[StudyLock]:
    path = _lock_file(engine, study_name)
    try:
        file = path.open("a+")
    except OSError as error:
        raise StoreError(f"the lock {path} cannot be made: {error.strerror}") from error
    with file:
        try:
            _lock(file)
        except BlockingIOError as error:
            file.seek(0)
            raise _held(study_name, _holder_of(file.read())) from error
        file.truncate(0)
        file.write(json.dumps(asdict(holder)))
        file.flush()
        yield _File()


def _lock_file(engine: Engine, study_name: str) -> Path:
    return Path(f"{engine.url.database}.{hashlib.sha256(study_name.encode()).hexdigest()[:12]}.lock")


def _lock(file: TextIO) -> None:
    """Lock a file; one that is only looked at, for a moment, is tried again."""
    for _ in range(GLANCES):
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(GLANCE_SECONDS)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder_of(text_: str) -> Holder | None:
    try:
        found: Any = json.loads(text_)
        return Holder(str(found["host"]), int(found["pid"]), float(found["since"]))
    except (ValueError, KeyError, TypeError):
        return None


def _held(study_name: str, who: object) -> StudyHeld:
    return StudyHeld(
        f"study {study_name!r} is held by {who or 'another process'}; "
        "stop that one first, or give metadata.name another value"
    )


@contextmanager
def _hold_session(engine: Engine, study_name: str, holder: Holder) -> Iterator[StudyLock]:
    held = _Session(engine, study_name, holder)
    try:
        yield held
    finally:
        held.close()


class _Session:
    """An advisory lock, which ends with the session that took it: also when the server restarts."""

    def __init__(self, engine: Engine, study_name: str, holder: Holder) -> None:
        self._engine, self._study_name, self._holder = engine, study_name, holder
        self._connection = self._locked()

    def _locked(self) -> Connection:
        key = _key(self._study_name)
        with translated(self._engine):
            connection = self._engine.connect()
            if not connection.info.get(POOLED):
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                _lock_session(connection, self._study_name, key, self._holder)
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
        return connection

    def renew(self) -> None:
        """Look whether the session lives, and take the lock in a new one where not."""
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self.close()
            self._connection = self._locked()

    def close(self) -> None:
        """Give the lock back. A session that cannot be asked to any more ends it a moment after it was closed."""
        with suppress(SQLAlchemyError):
            if not self._connection.invalidated:
                self._release()
        self._connection.invalidate()
        self._connection.close()

    def _release(self) -> None:
        if self._connection.info.get(POOLED):
            self._connection.rollback()
        else:
            self._connection.execute(text("SELECT pg_advisory_unlock_all()"))


def _key(study_name: str) -> int:
    return int.from_bytes(hashlib.sha256(study_name.encode()).digest()[:4], "big", signed=True)


def _lock_session(connection: Connection, study_name: str, key: int, holder: Holder) -> None:
    # Visible to whoever is refused; PostgreSQL cuts it at 63 bytes.
    name = f"kubetuna {holder.pid} {holder.since:.0f} {holder.host}"[:63]
    # Of a pooled connection only an open transaction is ours alone; it reads nothing, and so holds up no vacuum.
    pooled = bool(connection.info.get(POOLED))
    if pooled:
        connection.execute(text(f"SET LOCAL {IDLE} = 0"))
    connection.execute(
        text("SELECT set_config('application_name', :name, :local)"), {"name": name, "local": pooled}
    )
    args = {"cls": LOCK_CLASS, "key": key}
    if connection.execute(text(f"SELECT pg_try_advisory_{'xact_' * pooled}lock(:cls, :key)"), args).scalar():
        return
    found = connection.execute(text(_HOLDER), {"cls": LOCK_CLASS, "unsigned": key % 2**32}).scalar()
    raise _held(study_name, _session_holder(found))


def _session_holder(name: str | None) -> Holder | None:
    words = (name or "").split(" ", 3)
    if len(words) != 4 or not words[1].isdigit() or not words[2].isdigit():
        return None
    return Holder(words[3], int(words[1]), float(words[2]))
