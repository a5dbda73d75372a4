"""Optuna Dashboard over a store: a role that may only read is enough, and an empty database is waited for."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator

import optuna
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from kubetuna.store.dashboard import listen, wait_for_store
from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema

pytestmark = pytest.mark.postgres


@pytest.fixture
def reader_url(postgres_url: str) -> Iterator[str]:
    """The database as a role that may read whatever its owner makes."""
    owner, role = create_engine(postgres_url), f"reader_{make_url(postgres_url).database}"
    with owner.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {role}"))
    yield make_url(postgres_url).set(username=role).render_as_string(hide_password=False)
    with owner.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))
    owner.dispose()


def test_a_reader_sees_the_studies(postgres_url: str, reader_url: str) -> None:
    ensure_schema(open_engine(postgres_url))
    optuna.create_study(storage=postgres_url, study_name="team/seen")
    with listen(reader_url, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/api/studies", timeout=30) as answer:
            found = json.loads(answer.read())["study_summaries"]
        server.shutdown()
    assert [study["study_name"] for study in found] == ["team/seen"]


def test_an_empty_database_is_waited_for(
    postgres_url: str, reader_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operator makes the tables, and may come later; each look that finds none is one attempt."""
    looks: list[float] = []

    def came(seconds: float) -> None:
        looks.append(seconds)
        ensure_schema(open_engine(postgres_url))

    monkeypatch.setattr("kubetuna.store.dashboard.time.sleep", came)
    wait_for_store(reader_url)
    assert len(looks) == 1
    assert "waiting:" in capsys.readouterr().err
