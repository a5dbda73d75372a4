"""An operator whose database fails over: what it had stored stays, and nothing is trained or told a second time."""

from __future__ import annotations

from pathlib import Path

from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from tests.apiserver.lab import Lab, curve, hangs
from tests.apiserver.objects import Change
from tests.apiserver.programs import params_of
from tests.apiserver.resources import PODS
from tests.postgres_server import PostgresServer
from tests.sim.postgres import note_changes, noted


def test_what_an_operator_had_stored_is_there_after_a_failover(tmp_path: Path) -> None:
    primary = PostgresServer()
    standby = PostgresServer(follows=primary)
    lab, started = Lab(tmp_path), dict[str, dict[str, object]]()

    def made(change: Change) -> None:
        if change.resource == PODS and change.before is None:
            started[change.key[1]] = params_of(change.last)

    lab.cluster.server.objects.listen(made)
    try:
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (primary, standby))
        lab.store = f"postgresql+psycopg2://kubetuna@/postgres?{hosts}&target_session_attrs=read-write"
        ensure_schema(open_engine(lab.store))
        note_changes(primary.url("postgres"))
        operator = lab.operator()
        # The others are under way as the database goes.
        first = ("small-0-0-0", "small-1-0-0")
        lab.program = lambda pod: (curve if pod["metadata"]["name"] in first else hangs)(pod)
        lab.apply(maxTrialCount=8, parallelTrialCount=2)
        lab.until(lambda: lab.status().get("trialsSucceeded", 0) >= 2)
        recorded = [trial for trial in lab.trials() if trial.state == "COMPLETE"]
        primary.kill()
        lab.program = curve
        lab.until(lambda: operator.context.store.problem and lab.conditions()["StoreReady"][0] == "False")
        standby.promote()
        assert lab.ended()["trialsSucceeded"] == 8
        after = {f"small-{trial.number}-0-0": trial for trial in lab.trials()}
        assert len(recorded) >= 2 and [t for t in after.values() if t in recorded] == recorded
        assert {name: dict(trial.params) for name, trial in after.items()} == started
        assert noted(standby.url("postgres")) == []
    finally:
        lab.close()
        standby.close()
        primary.close()
