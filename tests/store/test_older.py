"""A study that an older version left opens, shows what it showed then, and goes on.

``data`` was written by commit d720501, from ``experiment.yaml``: a SQLite file and a dump of PostgreSQL, beside
each what the verbs printed then, and a folder of results without its page. Six trials: three completed, each with
two runs, two pruned, one failed. It is never written again; a change of what is stored adds a second one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from kubetuna.analysis.folder import read_results
from tests.local.runs import Runner

DATA = Path(__file__).parent / "data"
VERBS = ("trials", "status", "best")


def shown_then(kind: str) -> dict[str, Any]:
    """What the verbs printed of the study then."""
    found: dict[str, Any] = json.loads((DATA / f"{kind}.json").read_text())
    return found


def timeless(status: dict[str, Any]) -> dict[str, Any]:
    """A status without the time at which it was asked for."""
    return {name: value for name, value in status.items() if name != "lastReconcileTime"}


def restored(url: str) -> str:
    """The dump, in an empty database."""
    engine = create_engine(url)
    connection = engine.raw_connection()
    connection.cursor().execute((DATA / "older.sql").read_text())
    connection.commit()
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def older(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    if kind == "postgres":
        return Runner(tmp_path, restored(request.getfixturevalue("postgres_url")))
    shutil.copy(DATA / "older.sqlite", tmp_path / "study.db")
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def test_it_shows_the_trials_the_status_and_the_best_of_then(older: Runner, kind: str) -> None:
    then = shown_then(kind)
    now = {verb: json.loads(older.call(verb, "older", "--json")) for verb in VERBS}
    assert now["trials"] == then["trials"]
    assert now["best"] == then["best"]
    # What was added to a status since stands beside it.
    status = timeless(now["status"])
    assert {name: status.get(name) for name in timeless(then["status"])} == timeless(then["status"])


def test_it_goes_on_where_it_was(older: Runner, kind: str) -> None:
    status = older.run((DATA / "experiment.yaml").read_text(), "--set", "maxTrialCount=8")
    trials = older.trials("older")
    assert (status["state"], status["trials"], len(trials)) == ("Succeeded", 8, 8)
    assert trials[:6] == shown_then(kind)["trials"]
    # Two runs each, unless the first one decided.
    assert all(len(trial["attempts"]) == 2 for trial in trials if trial["state"] == "COMPLETE")


def test_a_folder_of_results_is_read_back() -> None:
    seen, then = read_results(DATA / "results"), shown_then("sqlite")
    assert [trial.as_json() for trial in seen.trials] == then["trials"]
    assert timeless(dict(seen.status)) == timeless(then["status"])
    assert (seen.spec.name, seen.spec.repeats, seen.seed) == ("older", 2, 3)
