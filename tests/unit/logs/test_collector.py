"""One trial's log, chunk by chunk: what it reads as, what is said of it, and what another process goes on from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubetuna.experiment.model import Experiment
from kubetuna.metrics.collector import TrialLog
from kubetuna.trials.attempts import LINE_LIMIT, ExitFacts, LogChunk
from kubetuna.trials.outcome import Classified, Outcome, classify
from tests.unit.plan.builders import experiment


def log_of(*lines: str, spec: Experiment | None = None, state: dict[str, Any] | None = None) -> TrialLog:
    log = TrialLog(spec or experiment(), state or {})
    log.turn_to(0)
    log.take(LogChunk(tuple(line.encode() for line in lines), "end", drained=True))
    known: dict[int, float] = {}
    for point in log.records(known):
        if point is not None:
            known[point.step] = point.value
    return log


def ended(log: TrialLog) -> Classified:
    return classify(ExitFacts(exit_code=0), None, "go", log.reading())


@pytest.mark.parametrize(
    ("strategy", "outcome"),
    [("min", Outcome.SUCCEEDED), ("max", Outcome.SUCCEEDED), ("latest", Outcome.NON_FINITE)],
)
def test_nan_behind_a_value_fails_the_latest_only(strategy: str, outcome: Outcome) -> None:
    spec = experiment(strategies={"loss": strategy})
    log = log_of("loss=0.5", "loss=nan", spec=spec)
    assert ended(log).outcome is outcome
    assert log.reading().values == ({} if strategy == "latest" else {"loss": 0.5})
    assert ended(log_of("loss=nan", spec=spec)).outcome is Outcome.NON_FINITE
    assert ended(log_of("loss=nan", "loss=0.5", spec=spec)).outcome is Outcome.SUCCEEDED


def test_a_line_of_which_only_the_end_is_known_is_counted_and_said() -> None:
    long = "x" * (LINE_LIMIT + 1)
    log = log_of(long, f"{long} loss=0.5", f"{long}\r", f"\r{long}\rloss=0.6")
    assert ended(log) == Classified(
        Outcome.SUCCEEDED, "3 lines of the log are longer than 65,536 bytes and read from the end only"
    )
    again = TrialLog(experiment(), json.loads(json.dumps(log.state())))
    assert again.reading().cut == 3
    again.turn_to(1)
    assert again.reading().cut == 0
    assert "1 line of the log is longer" in ended(log_of(long)).message
