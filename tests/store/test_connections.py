"""Connections are few: where all are in use, the database counts as away and is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from kubetuna.errors import StoreUnavailable
from kubetuna.store.database import reading, writing


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
