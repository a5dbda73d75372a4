"""Connections are few: where all are in use, the database counts as away and is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, select
from sqlalchemy.pool import QueuePool

from kubetuna.errors import StoreUnavailable
from kubetuna.store.database import open_engine, reading, write_only_while, writing
from kubetuna.store.schema import ensure_schema
from kubetuna.store.tables import STUDIES


def test_a_connection_that_does_not_come_in_time_is_an_outage_that_passes(tmp_path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{tmp_path}/s.db", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with engine.connect():
        for transaction in (reading, writing):
            with pytest.raises(StoreUnavailable, match="no connection free"), transaction(engine):
                pass
    with reading(engine):
        pass


def test_nothing_is_committed_by_who_may_no_longer_write(tmp_path: Path) -> None:
    """It stood still in the midst of a transaction, say, and another one took over meanwhile."""
    engine, may = open_engine(f"sqlite:///{tmp_path}/s.db"), [True]
    ensure_schema(engine)
    write_only_while(engine, lambda: may[0])
    with writing(engine) as connection:
        connection.execute(insert(STUDIES).values(study_name="first"))
    with pytest.raises(StoreUnavailable) as error, writing(engine) as connection:
        connection.execute(insert(STUDIES).values(study_name="second"))
        may[0] = False
    assert "not written" in error.value.public
    with reading(engine) as connection:
        assert connection.execute(select(STUDIES.c.study_name)).scalars().all() == ["first"]
