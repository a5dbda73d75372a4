"""A store that misbehaves: locked, read-only, full, of another version, restarted in mid-run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import create_engine, text

from kubetuna.errors import StudyHeld
from kubetuna.local.runner import Watchers, run
from kubetuna.parsing.parse import parse_experiment
from kubetuna.store import storage
from kubetuna.store.database import open_engine
from kubetuna.store.journal import Changes
from kubetuna.store.lock import Holder, hold
from kubetuna.trials.snapshot import Snapshot
from tests.local.runs import KUBETUNA, Runner, experiment, until
from tests.postgres_server import PostgresServer

STEPS = (
    "import json, os, time\n"
    "for step in range(1, 9):\n"
    "    print(json.dumps({'step': step, 'loss': float(os.environ['KUBETUNA_PARAM_X']) + 1 / step}), flush=True)\n"
    "    time.sleep(0.1)"
)
WHOLE = [1, 2, 3, 4, 5, 6, 7, 8]


def steps(runner: Runner) -> list[list[int]]:
    return [[step for step, _ in trial["steps"]] for trial in runner.trials()]


def admin(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_database_that_restarts_in_mid_run_loses_nothing_and_stops_nothing(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        runner = Runner(tmp_path, server.url("postgres"))
        process = runner.start("run", str(runner.write(experiment(STEPS, maxTrialCount=6))), "--json")
        until(lambda: len(runner.trials()) >= 2)
        server.stop()
        server.start()
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
        assert steps(runner) == [WHOLE] * 6
        assert all(len(trial["attempts"]) == 1 for trial in runner.trials()), "nothing may be trained twice"
    finally:
        server.close()


def test_a_failover_to_the_standby_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    primary = PostgresServer()
    standby = PostgresServer(follows=primary)
    try:
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (primary, standby))
        runner = Runner(tmp_path, f"postgresql://kubetuna@/postgres?{hosts}&target_session_attrs=read-write")
        process = runner.start("run", str(runner.write(experiment(STEPS, maxTrialCount=12))), "--json")
        until(lambda: sum(trial["state"] == "COMPLETE" for trial in runner.trials()) >= 2)
        recorded = [trial for trial in runner.trials() if trial["state"] == "COMPLETE"]
        primary.kill()
        standby.promote()
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        after = runner.trials()
        assert steps(runner) == [WHOLE] * 12 and [t for t in after if t in recorded] == recorded
        assert all(len(trial["attempts"]) == 1 for trial in after), "nothing may be trained twice"
    finally:
        standby.close()
        primary.close()


def test_a_database_that_is_away_as_a_run_ends_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last trial is stored; what is told of the study at the end is read once the database is back."""
    monkeypatch.chdir(tmp_path)
    server, deeds = PostgresServer(), list[str]()

    def changed(status: dict[str, Any], _: Snapshot) -> None:
        if status["state"] == "Succeeded" and not deeds:
            deeds.append("stopped")
            server.stop()

    def unavailable(_: str) -> None:
        if deeds == ["stopped"]:
            deeds.append("started")
            server.start()

    try:
        spec = parse_experiment(json.loads(experiment("print('loss=1')", maxTrialCount=1)))
        watchers = Watchers(lambda _spec, _folder: None, changed, unavailable)
        told = run(spec, server.url("postgres"), watchers, threading.Event())
        assert told.study is not None and told.study.status["state"] == told.status["state"] == "Succeeded"
        assert deeds == ["stopped", "started"]
    finally:
        server.close()


def test_a_database_that_is_away_as_a_study_is_read_again_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone adds a trial under a number that the run has in memory."""
    monkeypatch.chdir(tmp_path)
    server, deeds, write = PostgresServer(), list[str](), storage.write
    url = server.url("postgres")

    def write_late(engine: Any, study: Any, memory: Any, changes: Changes, ids: Any) -> None:
        if 1 in changes.new and not deeds:
            deeds.append("added")
            optuna.load_study(study_name="small", storage=url).ask()
        write(engine, study, memory, changes, ids)

    def unavailable(why: str) -> None:
        if "read again" in why and deeds == ["added"]:
            deeds.append("stopped")
            server.stop()
        elif deeds[-1] == "stopped":
            deeds.append("started")
            server.start()

    try:
        spec = parse_experiment(json.loads(experiment("print('loss=1')", maxTrialCount=3)))
        watchers = Watchers(lambda _spec, _folder: None, lambda _status, _snapshot: None, unavailable)
        monkeypatch.setattr(storage, "write", write_late)
        told = run(spec, url, watchers, threading.Event())
        assert told.status["state"] == "Succeeded" and told.status["trialsSucceeded"] == 3
        assert deeds == ["added", "stopped", "started"]
    finally:
        server.close()


def test_a_hold_is_taken_again_after_the_server_restarted() -> None:
    server = PostgresServer()
    try:
        engine = open_engine(server.url("postgres"))
        with hold(engine, "study", Holder("here", 1, 1.0)) as held:
            server.stop()
            server.start()
            held.renew()
            other = Holder("there", 2, 2.0)
            with pytest.raises(StudyHeld, match="process 1 on here"), hold(engine, "study", other):
                pass
    finally:
        server.close()


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    runner.run(experiment("print('loss=1')", maxTrialCount=1))
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    text_ = experiment("print('loss=1')", maxTrialCount=4)
    process = runner.start("run", str(runner.write(text_)), "--json")
    until(lambda: bool(list(Path("/proc").glob(f"{process.pid}/fd/*"))))
    other.execute("COMMIT")
    other.close()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert len(runner.trials()) == 4


def test_a_read_only_database_is_told_as_such(tmp_path: Path, postgres_url: str) -> None:
    runner = Runner(tmp_path, postgres_url)
    runner.run(experiment("print('loss=1')", maxTrialCount=1))
    admin(postgres_url, f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET default_transaction_read_only = on")
    told = runner.call("run", str(runner.write(experiment("print('loss=1')", maxTrialCount=3))), code=2)
    assert "read-only" in told
    assert runner.call("status", "small"), "reading it still works"


def test_tables_of_another_version_are_refused_with_what_to_do(tmp_path: Path) -> None:
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    runner.run(experiment("print('loss=1')", maxTrialCount=1))
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    told = runner.call("run", str(runner.write(experiment("print('loss=1')"))), code=2)
    assert "v2.6.0.a" in told and "optuna storage upgrade" in told


def test_something_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("my thesis\n" * 100)
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    told = runner.call("run", str(runner.write(experiment("print('loss=1')"))), code=2)
    assert "is not a SQLite database" in told
    assert (tmp_path / "study.db").read_text() == "my thesis\n" * 100


def test_a_full_disk_is_told_and_what_was_stored_remains(tmp_path: Path) -> None:
    """In a mount namespace of its own, where a small file system can be made without touching the machine's."""
    (tmp_path / "disk").mkdir()
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/disk/study.db")
    few, many = tmp_path / "few.yaml", tmp_path / "many.yaml"
    few.write_text(experiment("print('loss=1')", maxTrialCount=2))
    many.write_text(experiment("print('loss=1')", maxTrialCount=400))
    script = (
        f"set -e; mount -t tmpfs -o size=4m none disk; {KUBETUNA} run {few}; set +e; "
        "dd if=/dev/zero of=disk/rest bs=4k; truncate -s -32k disk/rest; "
        f"{KUBETUNA} run {many}; echo code $?; {KUBETUNA} trials small --json"
    )
    process = subprocess.run(
        ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "KUBETUNA_STORE": runner.store},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "code 2" in process.stdout, process.stdout + process.stderr
    assert "is full" in process.stderr and "Traceback" not in process.stderr
    assert json.loads(process.stdout.splitlines()[-1]), "what was stored can still be read"


def test_a_trial_that_fills_its_log_is_stopped_and_harms_no_other(tmp_path: Path) -> None:
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    script = (
        "import os, sys\n"
        "if os.environ['KUBETUNA_TRIAL'] == '0':\n"
        "    block = b'x' * 1_000_000 + b'\\n'\n"
        "    while True: os.write(1, block)\n"
        "print('loss=1')"
    )
    runner.run(experiment(script, maxTrialCount=2))
    first, second = runner.trials()
    assert (first["outcome"], second["outcome"]) == ("Crashed", "Succeeded")
    assert "printed more than" in first["message"]
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) < 300 * 2**20
