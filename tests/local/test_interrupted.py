"""An experiment that nothing runs any more says so; whether something runs it is what its lock says."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import Any

import pytest

from kubetuna.analysis.report.result import head
from kubetuna.analysis.report.view import view_of
from kubetuna.local.runner import look, look_by_name
from kubetuna.store.database import open_engine
from kubetuna.store.lock import Holder, hold, is_held
from kubetuna.store.schema import ensure_schema
from kubetuna.study.record import StudyRecord
from kubetuna.terminal.tables import status_rows
from tests.local.runs import experiment
from tests.world import World, curve

HERE = Holder("here", 1, 0.0)


def world(**spec: Any) -> tuple[World, str]:
    made = World(experiment("", **spec), curve)
    for _ in range(3):
        made.turn()
    return made, f"sqlite:///{made.folder.name}/study.db"


def said(seen: StudyRecord) -> tuple[bool, str, str]:
    row = dict(status_rows(seen.spec, seen.status))["state"]
    page = head(view_of(seen.spec, seen.status, seen.trials, 0.0))
    return bool(seen.status.get("interrupted")), row, page


def test_an_experiment_that_nothing_runs_says_so_and_how_it_goes_on() -> None:
    made, url = world()
    file = Path(made.folder.name) / "the file.yaml"
    file.write_text(experiment(""))
    again = f"nothing runs it now; go on with: kubetuna run '{file}' --store '{url}'"
    interrupted, row, page = said(look(str(file), url))
    assert interrupted and row == f"Interrupted: {again}" and "Interrupted: nothing runs it now" in page
    assert (
        look_by_name("small", url)
        .status["message"]
        .startswith("nothing runs it now; go on with: kubetuna run FILE")
    )
    with hold(made.database, "small", HERE):
        interrupted, row, page = said(look(str(file), url))
        assert not interrupted and row == "Running" and "Interrupted" not in page
    made.finish()
    assert said(look(str(file), url))[:2] == (False, "Succeeded: 4 trials were made")


def test_a_suspended_experiment_stays_suspended_and_says_what_resumes_it() -> None:
    _made, url = world(suspend=True)
    interrupted, row, _ = said(look_by_name("small", url))
    assert interrupted and row.startswith(
        "Suspended: nothing runs it now; go on with: kubetuna run FILE --set suspend=f"
    )


def test_who_holds_a_study_is_seen_in_every_store(store_url: str) -> None:
    engine = open_engine(store_url)
    ensure_schema(engine)
    assert not is_held(engine, "a")
    with hold(engine, "a", HERE):
        assert is_held(engine, "a") and not is_held(engine, "b")
    assert not is_held(engine, "a")


def test_a_look_at_the_lock_keeps_nobody_from_taking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/study.db")
    with hold(engine, "a", HERE):
        pass
    with next(tmp_path.glob("*.lock")).open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda _seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        with hold(engine, "a", HERE):
            assert is_held(engine, "a")
