"""What all tests share: a real PostgreSQL, and an empty database in it for each test that asks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import optuna
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.postgres_server import PostgresServer

optuna.logging.set_verbosity(optuna.logging.ERROR)
_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What kubetuna remembers on a machine is not that of whoever runs the tests."""
    state = tmp_path_factory.mktemp("state")
    os.environ |= {"XDG_STATE_HOME": str(state), "KUBETUNA_LOOKS": str(state / "everyones.jsonl")}


@pytest.fixture(scope="session")
def postgres_base() -> Iterator[str]:
    """The URL of a server on which databases may be created."""
    given = os.environ.get("KUBETUNA_TEST_POSTGRES")
    if given:
        yield given
        return
    server = PostgresServer()
    yield server.url("postgres")
    server.close()


@pytest.fixture
def postgres_url(postgres_base: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(postgres_base, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_base).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path) -> str:  # type: ignore[no-untyped-def]
    """Every kind of store, empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    url: str = request.getfixturevalue("postgres_url")
    return url
