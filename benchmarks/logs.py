"""Reading logs: lines per second through the reader and the curve, and over merely parsing JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from benchmarks.measure import Row, medians, seconds
from kubetuna.experiment.model import Algorithm, Experiment, Objective, Parameter, Template
from kubetuna.metrics.collector import TrialLog
from kubetuna.trials.attempts import LogChunk

LINES = 200_000
CHUNK = 10_000

SHAPES: dict[str, Callable[[int], str]] = {
    "JSON reports": lambda n: f'{{"step": {n}, "loss": {n / 7}, "lr": 0.001}}',
    "text reports": lambda n: f"2026-11-26 00:00:00 INFO epoch {n} loss={n / 7} lr=0.001",
    "other lines": lambda n: f"2026-11-26 00:00:00 INFO batch {n} of 200000, lr 0.001, 31.2 it/s",
    "bars": lambda n: "".join(f"\r {k}%|{'#' * k:<20}| {k}/20 loss={n / 7}" for k in range(20)),
}


def rows(quick: bool) -> list[Row]:
    """Lines per second for each shape, with what a line costs over ``json.loads`` of a report."""
    count = LINES // 20 if quick else LINES
    logs = {name: [shape(n).encode() for n in range(count)] for name, shape in SHAPES.items()}
    bare = logs["JSON reports"]
    contenders = {name: lambda log=log: seconds(lambda: read(log)) for name, log in logs.items()}
    told = medians({"bare": lambda: seconds(lambda: [json.loads(line) for line in bare]), **contenders}, 5)
    parsing, _ = told["bare"]
    found = []
    for name in SHAPES:
        taken, spread = told[name]
        found.append(Row(f"logs: {name}", count / taken, "lines/s", count * spread / taken**2, f"{count:,} lines"))
        found.append(Row("logs: … over json.loads of a report", taken / parsing, "x"))
    return found


def read(log: Sequence[bytes]) -> int:
    """Read a log as a trial's is read; returns how many points its curve got."""
    known: dict[int, float] = {}
    reader = TrialLog(_experiment(), {})
    reader.turn_to(0)
    for start in range(0, len(log), CHUNK):
        reader.take(LogChunk(tuple(log[start : start + CHUNK]), str(start)))
        for point in reader.records(known):
            if point is not None:
                known[point.step] = point.value
    return len(known)


def _experiment() -> Experiment:
    return Experiment(
        name="logs",
        namespace="default",
        parameters=(Parameter("x", "double", low=0.0, high=1.0),),
        objectives=(Objective("loss", "minimize"),),
        algorithm=Algorithm("random"),
        template=Template("Pod", {}, "trial"),
    )
