"""Every log of the corpus reads as what it means, however it comes: at once, line by line, over many processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetuna.experiment.model import Collector, Objective
from kubetuna.metrics.collector import TrialLog
from kubetuna.metrics.libraries import LIBRARY_FILTERS
from kubetuna.trials.attempts import ExitFacts, LogChunk
from kubetuna.trials.outcome import classify
from tests.unit.plan.builders import experiment

CORPUS = Path(__file__).parents[2] / "corpus"
CASES: list[dict[str, Any]] = yaml.safe_load((CORPUS / "logs.yaml").read_text())


def lines_of(case: dict[str, Any]) -> list[bytes]:
    whole = (CORPUS / "logs" / case["log"]).read_bytes() if "log" in case else case["text"].encode()
    return whole.removesuffix(b"\n").split(b"\n")


def logs_of(case: dict[str, Any], chunks: Iterator[LogChunk]) -> Iterator[tuple[TrialLog, dict[int, float]]]:
    """The log after each chunk, as a new process would know it, and the curve."""
    objective, *more = case["metrics"]
    spec = experiment(
        objectives=(Objective(objective, "minimize"),),
        additional_metrics=tuple(more),
        strategies={objective: case.get("strategy", "latest")},
        collector=Collector(tuple(case.get("filters", ()))),
    )
    state: dict[str, Any] = {}
    curve: dict[int, float] = {}
    for chunk in chunks:
        log = TrialLog(spec, state)
        log.turn_to(0)
        log.take(chunk)
        for point in log.records(curve):
            if point is not None:
                for step in [step for step in curve if step < point.void_below]:
                    del curve[step]
                curve[point.step] = point.value
        state = json.loads(json.dumps(log.state()))
        yield log, curve


@pytest.mark.parametrize("by_line", [False, True])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_log_reads_as_what_it_means(case: dict[str, Any], by_line: bool) -> None:
    lines = lines_of(case)
    parts = [(line,) for line in lines] if by_line else [tuple(lines)]
    chunks = (LogChunk(part, str(n), drained=n == len(parts)) for n, part in enumerate(parts, 1))
    *_, (log, curve) = logs_of(case, chunks)
    assert log.reading().values == case["values"]
    assert curve == case.get("curve", {})
    assert classify(ExitFacts(exit_code=0), None, "go", log.reading()).outcome == case.get("outcome", "Succeeded")


def test_every_library_filter_and_every_recording_is_used() -> None:
    assert {name for case in CASES for name in case.get("filters", ())} >= set(LIBRARY_FILTERS)
    recordings = {case["log"] for case in CASES if "log" in case}
    assert recordings == {path.name for path in (CORPUS / "logs").iterdir()}
