"""A runner without processes: the engine over a real study in SQLite and a fake place, turned by hand."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from sqlalchemy import Engine as Database

from kubetuna.experiment.model import Experiment
from kubetuna.parsing.parse import parse_file_text
from kubetuna.planning.stopping import StopDecision
from kubetuna.reconciling.reconciler import Ports, Reconciler
from kubetuna.store.database import open_engine
from kubetuna.store.reader import read_study
from kubetuna.store.requests import LOOK_SECONDS, StoredRequests, write_request
from kubetuna.store.schema import ensure_schema
from kubetuna.study.decoding import decode_trial
from kubetuna.study.open import open_study
from kubetuna.study.study import Study
from kubetuna.trials.attempts import AttemptRequest
from kubetuna.trials.records import TrialRecord
from kubetuna.trials.snapshot import Snapshot
from tests.fakes import FakeClock, FakeExecutor, FakeLogs, Run


class World:
    """What outlives a runner: the database, the place, the clock."""

    def __init__(self, text: str, program: Any) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.database: Database = open_engine(f"sqlite:///{self.folder.name}/study.db")
        ensure_schema(self.database)
        self.spec: Experiment = parse_file_text(text)
        self.clock = FakeClock()
        self.place = FakeExecutor(program, self.clock)
        self.ending: StopDecision | None = None
        self.asked = 0
        self.start()

    def start(self) -> None:
        """A runner starts, perhaps after another one."""
        opened = open_study(self.database, self.spec, self.spec.name, "test", self.clock.now(), lambda: 7)
        self.study: Study = opened.study
        requests = StoredRequests(self.database, self.spec.name, self.clock.now)
        logs = FakeLogs(self.place, 3)
        ports = Ports(self.place, logs, self.clock, lambda s, e: None, requests=requests)
        self.engine = Reconciler(self.spec, self.study, ports, opened.started, 1.0)

    def turn(self) -> Snapshot:
        """One turn of the loop, and time passes."""
        snapshot = self.engine.observe()
        self.engine.turn(snapshot, self.clock.now())
        self.clock.time += 1.0
        self.place.step()
        return snapshot

    def request(self, line: str) -> str:
        """Somebody asks something of a trial; under which ID."""
        self.asked += 1
        # A runner looks for requests once in so many seconds.
        self.clock.time += LOOK_SECONDS
        write_request(self.database, self.spec.name, f"{self.asked:04}", line)
        return f"{self.asked:04}"

    def finish(self) -> StopDecision:
        """Turn until the experiment has ended, past what a trial waits before it is tried again."""
        self.place.idle, limit = 60.0, self.clock.now() + 100_000.0
        found = self.engine.run(lambda: self.clock.now() > limit)
        assert found is not None, "the experiment did not end"
        return found

    def stored(self) -> tuple[TrialRecord, ...]:
        """What a reader of the database sees now."""
        return tuple(decode_trial(t) for t in read_study(self.database, self.spec.name).trials)

    def close(self) -> None:
        self.database.dispose()
        self.folder.cleanup()


def curve(launch: AttemptRequest) -> Run:
    """Five steps whose level is the parameter."""
    level = float(launch.params["x"])
    lines = [json.dumps({"step": s, "loss": level + 1 / s}).encode() for s in range(1, 6)]
    return Run(tuple(lines))
