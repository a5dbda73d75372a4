"""PostgreSQL as people run it: short of connections or room, read-only, cut off, behind PgBouncer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from kubetuna.errors import StoreError, StoreUnavailable, StudyHeld
from kubetuna.parsing.parse import parse_file_text
from kubetuna.store import database
from kubetuna.store.database import open_engine, reading, writing
from kubetuna.store.lock import Holder, _Session, hold
from kubetuna.store.reader import read_study
from kubetuna.store.schema import ensure_schema
from kubetuna.study.open import open_study
from kubetuna.trials.outcome import Classified, Outcome
from tests.local.runs import experiment
from tests.pgbouncer import Pgbouncer

ONE, TWO = Holder("here", 1, 1.0), Holder("there", 2, 2.0)


@pytest.fixture
def store(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    yield engine
    engine.dispose()


def admin(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def setting(engine: Engine, name: str) -> str:
    with writing(engine) as connection:
        return str(connection.execute(text(f"SHOW {name}")).scalar())


def refusal(engine: Engine, statement: str) -> StoreError:
    with pytest.raises(StoreError) as refused, writing(engine) as connection:
        connection.execute(text(statement))
    return refused.value


def raises(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END $$"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("53100", "is full"),
        ("25006", "is read-only"),
        ("53300", "raise its max_connections"),
        *(
            (state, "cannot be reached")
            for state in ("08006", "40001", "40P01", "53200", "57014", "57P01", "58030")
        ),
        ("25P03", "cannot be reached"),
        ("55P03", "is locked"),
    ],
)
def test_what_may_pass_is_waited_for_and_says_what_to_change(store: Engine, state: str, told: str) -> None:
    error = refusal(store, raises(state))
    assert isinstance(error, StoreUnavailable) and told in error.public and "127.0.0.1" not in error.public


@pytest.mark.parametrize(
    ("state", "told"), [("42501", "refuses this user"), ("42P01", "no tables"), ("22012", "log")]
)
def test_what_no_waiting_mends_is_told_at_once(store: Engine, state: str, told: str) -> None:
    error = refusal(store, raises(state))
    assert not isinstance(error, StoreUnavailable) and told in error.public


def test_a_connection_that_the_server_ends_is_waited_for_also_by_what_comes_after_it(store: Engine) -> None:
    with pytest.raises(StoreUnavailable), writing(store) as connection:
        try:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        except Exception:
            connection.execute(text("SELECT 1"))
    assert setting(store, "lock_timeout") == "10s"


def test_whoever_stands_still_amid_a_transaction_keeps_no_lock_for_long(
    store: Engine, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen process acknowledges what it is sent, so that no network ever tells that it is gone."""
    assert setting(store, database.IDLE) == "20s"
    monkeypatch.setitem(database.SETTINGS, database.IDLE, "100")
    frozen = open_engine(postgres_url)
    with writing(store) as connection:
        connection.execute(text("CREATE TABLE held (x int); INSERT INTO held VALUES (0)"))
    with pytest.raises(StoreUnavailable), writing(frozen) as still:
        still.execute(text("UPDATE held SET x = 1"))
        with writing(store) as connection:
            connection.execute(text("UPDATE held SET x = x + 10"))
        still.execute(text("SELECT 1"))
    assert setting(frozen, database.IDLE) == "100ms"
    with reading(store) as connection:
        assert connection.execute(text("SELECT x FROM held")).scalar() == 10


def test_where_all_connections_are_in_use_for_long_the_database_counts_as_away(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "POOL_SECONDS", 0.05)
    store = open_engine(postgres_url)
    held = [store.connect() for _ in range(database.POOL_SIZE + database.POOL_OVERFLOW)]
    error = refusal(store, "SELECT 1")
    assert isinstance(error, StoreUnavailable) and "no connection free" in error.public
    for connection in held:
        connection.close()
    assert setting(store, "lock_timeout") == "10s"


def test_a_user_without_a_connection_left_is_told_what_to_raise(postgres_url: str) -> None:
    role = f"narrow_{make_url(postgres_url).database}"
    admin(postgres_url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        narrow = open_engine(make_url(postgres_url).set(username=role).render_as_string(hide_password=False))
        error = refusal(narrow, "SELECT 1")
        assert isinstance(error, StoreUnavailable) and "raise its max_connections" in error.public
    finally:
        admin(postgres_url, f"DROP ROLE {role}")


def test_a_database_or_user_that_does_not_exist_is_told_at_once(postgres_url: str) -> None:
    for changed, told in (({"database": "nowhere"}, "create the database"), ({"username": "nobody"}, "this user")):
        absent = open_engine(make_url(postgres_url).set(**changed).render_as_string(hide_password=False))
        error = refusal(absent, "SELECT 1")
        assert not isinstance(error, StoreUnavailable) and told in error.public


def test_a_dead_server_is_noticed_within_seconds_and_the_url_has_the_last_word(postgres_url: str) -> None:
    joined = "&" if "?" in postgres_url else "?"
    own = open_engine(f"{postgres_url}{joined}connect_timeout=7&options=-c%20search_path%3Dpg_catalog")
    for engine, patience in ((open_engine(postgres_url), "5"), (own, "7")):
        with reading(engine) as connection:
            parameters = connection.connection.dbapi_connection.get_dsn_parameters()  # type: ignore[union-attr]
        assert parameters["connect_timeout"] == patience and parameters["tcp_user_timeout"] == "15000"
        assert int(parameters["keepalives_idle"]) + 3 * int(parameters["keepalives_interval"]) <= 30
        assert setting(engine, "statement_timeout") == "1min"
    assert setting(own, "search_path") == "pg_catalog"


@pytest.fixture(params=[False, True], ids=["refuses settings", "ignores settings"])
def pooled(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """A database behind PgBouncer in transaction mode, whose own settings are not those that we need."""
    admin(postgres_url, f"ALTER DATABASE {make_url(postgres_url).database} SET synchronous_commit = off")
    with Pgbouncer(postgres_url, request.param) as pooler:
        yield pooler.url


def test_behind_pgbouncer_every_transaction_has_our_settings_and_leaves_none_behind(pooled: str) -> None:
    store, stranger = open_engine(pooled), create_engine(pooled)
    for name, value in (("synchronous_commit", "on"), ("statement_timeout", "1min"), ("lock_timeout", "10s")):
        assert setting(store, name) == value
    with stranger.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "0"
    stranger.dispose()
    store.dispose()


def test_behind_pgbouncer_a_study_is_kept_as_anywhere(pooled: str, postgres_url: str) -> None:
    store, direct = open_engine(pooled), open_engine(postgres_url)
    ensure_schema(store)
    spec = parse_file_text(experiment(""))
    study = open_study(store, spec, "small", "one", 0.0, lambda: 7).study
    for number in range(3):
        study.ask(number)
        study.tell(number, Classified(Outcome.SUCCEEDED, ""), {"loss": float(number)})
        study.flush()
    assert [t.values for t in read_study(direct, "small").trials] == [[0.0], [1.0], [2.0]]
    store.dispose()
    direct.dispose()


def test_behind_pgbouncer_a_study_is_held_by_one_and_free_once_it_is_left(pooled: str) -> None:
    first, second = open_engine(pooled), open_engine(pooled)
    for _ in range(2):
        with hold(first, "study", ONE) as held:
            held.renew()
            assert isinstance(held, _Session)
            # It holds an open transaction for as long as a run takes.
            assert held._connection.execute(text(f"SHOW {database.IDLE}")).scalar() == "0"
            with pytest.raises(StudyHeld, match="process 1 on here"), hold(second, "study", TWO):
                pass
        with hold(second, "study", TWO):
            pass
    first.dispose()
    second.dispose()
