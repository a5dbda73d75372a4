"""The database of a simulated world on a real PostgreSQL server: slower, with its own SQL, locks and errors.

What goes wrong is what goes wrong with the other one: a connection as it is taken from the pool, a commit before
and after it. A server has one empty database, with the triggers in it, of which every world gets a copy.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from tests.postgres_server import PostgresServer
from tests.sim.database import FINISHED, FOREIGN_STUDY, Database, Passing

EMPTY = "kubetuna_sim"
_NOTED = f"""
CREATE TABLE noted (what TEXT);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO noted VALUES (TG_ARGV[0] || ': ' || to_jsonb(OLD)); RETURN NULL; END $$;
CREATE TRIGGER told_again AFTER UPDATE ON trials FOR EACH ROW
  WHEN (OLD.state IN {FINISHED} AND OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION note('told again');
CREATE TRIGGER value_changed AFTER UPDATE ON trial_values FOR EACH ROW
  WHEN (OLD.value IS DISTINCT FROM NEW.value) EXECUTE FUNCTION note('a value changed');
CREATE TRIGGER param_changed AFTER UPDATE ON trial_params FOR EACH ROW
  WHEN (OLD.param_value IS DISTINCT FROM NEW.param_value) EXECUTE FUNCTION note('a parameter changed');
CREATE TRIGGER param_lost AFTER DELETE ON trial_params FOR EACH ROW EXECUTE FUNCTION note('a parameter is gone');
CREATE TRIGGER trial_lost AFTER DELETE ON trials FOR EACH ROW EXECUTE FUNCTION note('a trial is gone');
"""
_numbers = itertools.count()


@contextmanager
def served() -> Iterator[str]:
    """The URL of the empty database, on the server that the tests were given or on one of our own."""
    given = os.environ.get("KUBETUNA_TEST_POSTGRES")
    server = None if given else PostgresServer()
    url = given or (server.url("postgres") if server else "")
    _do(url, f"CREATE DATABASE {EMPTY}")
    try:
        engine = open_engine(_of(url, EMPTY))
        ensure_schema(engine)
        engine.dispose()
        _do(_of(url, EMPTY), f"INSERT INTO studies (study_name) VALUES ('{FOREIGN_STUDY}')")
        note_changes(_of(url, EMPTY))
        yield _of(url, EMPTY)
    finally:
        _do(url, f"DROP DATABASE {EMPTY} WITH (FORCE)")
        if server:
            server.close()


class Postgres(Database):
    """One world's database on a server. ``empty``: of what it is a copy."""

    lost = psycopg2.OperationalError

    def __init__(self, empty: str) -> None:
        self._name = f"{EMPTY}_{os.getpid()}_{next(_numbers)}"
        self._admin, self._url = _of(empty, "postgres"), _of(empty, self._name)
        _do(self._admin, f"CREATE DATABASE {self._name} TEMPLATE {EMPTY}")
        self._session = _connect(self._url)

    def engine(self, passing: Passing, _who: str) -> Engine:
        """What a process connects with."""
        engine = open_engine(self._url)

        class Own(Connection):
            def commit(self) -> None:
                passing("commit")
                super().commit()
                passing("committed")

        def do_connect(_dialect: Any, _record: Any, _args: Any, named: dict[str, Any]) -> None:
            named["connection_factory"] = Own

        event.listen(engine, "do_connect", do_connect, insert=True)
        event.listen(engine, "checkout", lambda *_: passing("connect"))
        return engine

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the tables, past every fault."""
        with self._session.cursor() as cursor:
            cursor.execute(query.replace("?", "%s"), values)
            return list(cursor.fetchall())

    def close(self) -> None:
        """Its end."""
        self._session.close()
        _do(self._admin, f"DROP DATABASE {self._name} WITH (FORCE)")


def note_changes(url: str) -> None:
    """Have the database note from now on what must never happen to a study."""
    _do(url, _NOTED)


def noted(url: str) -> list[str]:
    """What it noted."""
    with closing(_connect(url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT what FROM noted")
        return [what for (what,) in cursor.fetchall()]


def _of(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _connect(url: str) -> Any:
    made = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    made.autocommit = True
    return made


def _do(url: str, statements: str) -> None:
    with closing(_connect(url)) as session, session.cursor() as cursor:
        cursor.execute(statements)
