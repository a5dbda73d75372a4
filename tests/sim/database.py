"""The real store over a real database whose file is kept in memory, whose connections and commits can fail.

A copy of one empty database is made for each world. Triggers in it note what must never happen to a study, whoever
writes: a trial told twice, parameters that change, a writer that is not the study's latest.
"""

from __future__ import annotations

import functools
import json
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from kubetuna.store.database import open_engine
from kubetuna.store.fencing import EPOCH
from kubetuna.store.schema import ensure_schema

MEMORY = Path("/dev/shm")
# A study of somebody else's, of which nobody is told.
FOREIGN_STUDY = "payroll/secret-study"
FINISHED = "('COMPLETE', 'PRUNED', 'FAIL')"
# Who writes: a process, or "" for whoever has the password.
_WRITER = (
    f"(SELECT json_extract(value_json, '$.writer') FROM study_system_attributes "
    f"WHERE study_id = NEW.study_id AND key = '{EPOCH}')"
)
_NOTED = f"""
INSERT INTO studies (study_name) VALUES ('{FOREIGN_STUDY}');
CREATE TABLE noted (what TEXT);
CREATE TRIGGER told_again AFTER UPDATE ON trials
  WHEN OLD.state IN {FINISHED} AND OLD.state IS NOT NEW.state
  BEGIN INSERT INTO noted VALUES ('trial ' || OLD.number || ' was ' || OLD.state || ' and is ' || NEW.state); END;
CREATE TRIGGER value_changed AFTER UPDATE ON trial_values WHEN OLD.value IS NOT NEW.value
  BEGIN INSERT INTO noted VALUES ('the value of trial id ' || OLD.trial_id || ' changed'); END;
CREATE TRIGGER param_changed AFTER UPDATE ON trial_params WHEN OLD.param_value IS NOT NEW.param_value
  BEGIN INSERT INTO noted VALUES (OLD.param_name || ' of trial id ' || OLD.trial_id || ' changed'); END;
CREATE TRIGGER param_lost AFTER DELETE ON trial_params
  BEGIN INSERT INTO noted VALUES (OLD.param_name || ' of trial id ' || OLD.trial_id || ' is gone'); END;
CREATE TRIGGER made_by_another AFTER INSERT ON trials WHEN who() NOT IN ('', {_WRITER})
  BEGIN INSERT INTO noted VALUES ('trial ' || NEW.number || ' was made by ' || who() || ', no writer'); END;
CREATE TRIGGER told_by_another AFTER UPDATE ON trials WHEN who() NOT IN ('', {_WRITER})
  BEGIN INSERT INTO noted VALUES ('trial ' || NEW.number || ' was told by ' || who() || ', no writer'); END;
CREATE TRIGGER same_epoch AFTER UPDATE ON study_system_attributes
  WHEN OLD.key = '{EPOCH}'
    AND json_extract(NEW.value_json, '$.number') <= json_extract(OLD.value_json, '$.number')
  BEGIN INSERT INTO noted VALUES ('another writer has the epoch ' || NEW.value_json); END;
CREATE TRIGGER trial_lost AFTER DELETE ON trials
  BEGIN INSERT INTO noted VALUES ('trial ' || OLD.number || ' is gone'); END;
"""


@functools.cache
def _empty() -> tuple[Engine, sqlite3.Connection]:
    """A database with Optuna's tables and our triggers, made once by the store's own code, and what made it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = open_engine(f"sqlite:///{path}")
        ensure_schema(engine)
        engine.dispose()
        # A process that is forked for a seed may have another first thread.
        made = sqlite3.connect(":memory:", check_same_thread=False)
        with sqlite3.connect(path) as stored:
            stored.executescript(_NOTED)
            stored.backup(made)
    return engine, made


# The states in which others leave trials.
FOREIGN = ("RUNNING", "COMPLETE", "FAIL", "WAITING")
_ADD_FOREIGN = (
    "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) "
    "SELECT (SELECT COUNT(*) FROM trials t WHERE t.study_id = s.study_id), s.study_id, ?, ?, ? "
    "FROM studies s WHERE s.study_name = ? RETURNING trial_id"
)
_ADD_VALUE = (
    "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, -7.0, 'FINITE') "
    "RETURNING trial_id"
)

_EPOCH_OF = (
    "SELECT a.study_id, a.value_json FROM study_system_attributes a JOIN studies s USING (study_id) "
    "WHERE a.key = ? AND s.study_name = ?"
)
_WRITE_EPOCH = "UPDATE study_system_attributes SET value_json = ? WHERE study_id = ? AND key = ? RETURNING study_id"

# Called with "connect", "commit" or "committed" at that moment of a transaction; it may raise the driver's error.
Passing = Callable[[str], None]


class _Connection(sqlite3.Connection):
    """A process's connection: ``passing`` is told of each commit, ``free`` are those that nobody uses."""

    passing: Passing
    free: list[_Connection]
    who: str = ""

    def commit(self) -> None:
        """Commit, or fail to."""
        self.passing("commit")
        super().commit()
        self.passing("committed")

    def close(self) -> None:
        """In words only: to open one and read all definitions takes longer than most transactions."""
        if self.in_transaction:
            super().close()
        else:
            self.free.append(self)


class _Pool(NullPool):
    """Connections that are kept for the next transaction, as those to a server are."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._kept: list[ConnectionPoolEntry] = []

    def _do_get(self) -> ConnectionPoolEntry:
        return self._kept.pop() if self._kept else super()._do_get()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._kept.append(record)

    def dispose(self) -> None:
        """The process is gone."""
        while self._kept:
            self._kept.pop().close()


class Database:
    """One world's database. It lives as long as this object. ``lost`` is its driver's error for a connection."""

    lost: type[Exception] = sqlite3.OperationalError

    def __init__(self) -> None:
        self._free: list[_Connection] = []
        self._folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self._path = Path(self._folder.name) / "study.db"
        self._kept = sqlite3.connect(self._path, isolation_level=None)
        self._kept.create_function("who", 0, lambda: "")
        self._known, empty = _empty()
        empty.backup(self._kept)

    def engine(self, passing: Passing, who: str) -> Engine:
        """What a process connects with; ``who`` it is."""
        engine = open_engine(f"sqlite:///{self._path}")

        def do_connect(dialect: Any, _record: Any, args: Any, named: Any) -> _Connection:
            connection = (
                self._free.pop()
                if self._free
                else self._opened(dialect.connect(*args, **named, factory=_Connection))
            )
            connection.passing, connection.who = passing, who
            return connection

        engine.pool = _Pool(engine.pool._creator, _dispatch=engine.pool.dispatch, dialect=engine.dialect)
        event.listen(engine, "do_connect", do_connect)
        event.listen(engine, "checkout", lambda *_: passing("connect"))
        # To compile a statement takes longer than to carry it out, and each process would compile all of them anew.
        engine.dialect, engine._compiled_cache = self._known.dialect, self._known._compiled_cache
        return engine

    def _opened(self, connection: _Connection) -> _Connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.free = self._free
        connection.create_function("who", 0, lambda: connection.who)
        return connection

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the tables, past every fault."""
        return self._kept.execute(query, values).fetchall()

    def add_foreign(self, study: str, state: str) -> int:
        """Number a trial of someone else's, as ``Study.ask`` and ``Study.add_trial`` do; how many there were."""
        ended = "2027-01-15 08:00:01" if state in FINISHED else None
        made = self.ask(_ADD_FOREIGN, state, "2027-01-15 08:00:00", ended, study)
        for (trial,) in made if state == "COMPLETE" else ():
            self.ask(_ADD_VALUE, trial)
        return len(made)

    def take_over(self, study: str) -> int:
        """Raise a study's epoch, as whoever opens it does; how many there were."""
        rows = self.ask(_EPOCH_OF, EPOCH, study)
        for study_id, text in rows:
            number = json.loads(text)["number"] + 1
            self.ask(_WRITE_EPOCH, json.dumps({"number": number, "writer": "someone"}), study_id, EPOCH)
        return len(rows)

    def noted(self) -> list[str]:
        """What the triggers saw."""
        return [what for (what,) in self.ask("SELECT what FROM noted")]

    def close(self) -> None:
        """Its end."""
        for connection in (*self._free, self._kept):
            sqlite3.Connection.close(connection)
        self._folder.cleanup()
