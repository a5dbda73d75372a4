"""The real store over a real database whose file is kept in memory, whose connections and commits can fail.

A copy of one empty database is made for each world. Triggers in it note what must never happen to a study, whoever
writes: a trial told twice, parameters that change.
"""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema

MEMORY = Path("/dev/shm")
# A study of somebody else's, of which nobody is told.
FOREIGN_STUDY = "payroll/secret-study"
_FINISHED = "('COMPLETE', 'PRUNED', 'FAIL')"
_NOTED = f"""
INSERT INTO studies (study_name) VALUES ('{FOREIGN_STUDY}');
CREATE TABLE noted (what TEXT);
CREATE TRIGGER told_again AFTER UPDATE ON trials
  WHEN OLD.state IN {_FINISHED} AND OLD.state IS NOT NEW.state
  BEGIN INSERT INTO noted VALUES ('trial ' || OLD.number || ' was ' || OLD.state || ' and is ' || NEW.state); END;
CREATE TRIGGER value_changed AFTER UPDATE ON trial_values WHEN OLD.value IS NOT NEW.value
  BEGIN INSERT INTO noted VALUES ('the value of trial id ' || OLD.trial_id || ' changed'); END;
CREATE TRIGGER param_changed AFTER UPDATE ON trial_params WHEN OLD.param_value IS NOT NEW.param_value
  BEGIN INSERT INTO noted VALUES (OLD.param_name || ' of trial id ' || OLD.trial_id || ' changed'); END;
CREATE TRIGGER param_lost AFTER DELETE ON trial_params
  BEGIN INSERT INTO noted VALUES (OLD.param_name || ' of trial id ' || OLD.trial_id || ' is gone'); END;
CREATE TRIGGER trial_lost AFTER DELETE ON trials
  BEGIN INSERT INTO noted VALUES ('trial ' || OLD.number || ' is gone'); END;
"""


@functools.cache
def _empty() -> sqlite3.Connection:
    """A database with Optuna's tables and our triggers, made once by the store's own code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = open_engine(f"sqlite:///{path}")
        ensure_schema(engine)
        engine.dispose()
        made = sqlite3.connect(":memory:")
        with sqlite3.connect(path) as stored:
            stored.executescript(_NOTED)
            stored.backup(made)
    return made


# The states in which others leave trials.
FOREIGN = ("RUNNING", "COMPLETE", "FAIL", "WAITING")
_ADD_FOREIGN = (
    "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) "
    "SELECT (SELECT COUNT(*) FROM trials t WHERE t.study_id = s.study_id), s.study_id, ?, ?, ? "
    "FROM studies s WHERE s.study_name = ?"
)

# Called with "connect", "commit" or "committed" at that moment of a transaction; it may raise the driver's error.
Passing = Callable[[str], None]


class Database:
    """One world's database. It lives as long as this object."""

    def __init__(self) -> None:
        # Closed in words only: to open one and read all definitions takes longer than most transactions.
        self._free: list[sqlite3.Connection] = []
        self._folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self._path = Path(self._folder.name) / "study.db"
        self._kept = sqlite3.connect(self._path)
        _empty().backup(self._kept)

    def engine(self, passing: Passing) -> Engine:
        """What a process connects with."""
        engine = open_engine(f"sqlite:///{self._path}")
        commit = engine.dialect.do_commit

        def do_connect(dialect: Any, _record: Any, args: Any, named: Any) -> sqlite3.Connection:
            passing("connect")
            return self._free.pop() if self._free else self._opened(dialect.connect(*args, **named))

        event.listen(engine, "do_connect", do_connect)

        def do_commit(connection: Any) -> None:
            passing("commit")
            commit(connection)
            passing("committed")

        engine.dialect.do_commit = do_commit  # type: ignore[method-assign]
        engine.dialect.do_close = self._close  # type: ignore[method-assign]
        return engine

    def _opened(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def _close(self, connection: Any) -> None:
        if connection.in_transaction:
            connection.close()
        else:
            self._free.append(connection)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the tables, past every fault."""
        return self._kept.execute(query, values).fetchall()

    def add_foreign(self, study: str, state: str) -> int:
        """Number a trial of someone else's, as ``Study.ask`` and ``Study.add_trial`` do; how many there were."""
        added = (state, "2027-01-15 08:00:00", "2027-01-15 08:00:01" if state in _FINISHED else None, study)
        with self._kept:
            made = self._kept.execute(_ADD_FOREIGN, added)
            if made.rowcount and state == "COMPLETE":
                self._kept.execute(
                    "INSERT INTO trial_values VALUES (NULL, ?, 0, -7.0, 'FINITE')", (made.lastrowid,)
                )
            return made.rowcount

    def noted(self) -> list[str]:
        """What the triggers saw."""
        return [what for (what,) in self.ask("SELECT what FROM noted")]

    def close(self) -> None:
        """Its end."""
        for connection in (*self._free, self._kept):
            connection.close()
        self._folder.cleanup()
