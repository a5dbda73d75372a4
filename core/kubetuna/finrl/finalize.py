"""``finalize``: the winner is trained again with several seeds, and the held-out test is scored once.

That it was is durable before it is done, in the folder of results and in the store: a second look at the same test
would turn it into one more validation set, so it is refused unless somebody insists, and then counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from kubetuna.analysis.statistics.intervals import mean_interval
from kubetuna.errors import ResultsError
from kubetuna.finrl.evaluate import evaluate
from kubetuna.finrl.shipped import shipped_task
from kubetuna.study.record import StudyRecord
from kubetuna.training.process import Say
from kubetuna.training.train import Trained, seeds_of, train
from kubetuna.trials.records import TrialRecord

SEEDS = 5
MODELS = "final"

Keep = Callable[[Mapping[str, Any]], None]


def finalize(
    seen: StudyRecord,
    trial: TrialRecord,
    folder: Path,
    keep: Keep,
    say: Say,
    seeds: int = SEEDS,
    again: bool = False,
    words: Sequence[str] = (),
) -> dict[str, Any]:
    """Train, score the test part, and keep what came of it with ``keep``, which is called before as well.

    Raises:
        ResultsError: the trials leave no model to score, the test was scored before, or the trainer failed.
    """
    if shipped_task(seen.spec) is None:
        raise ResultsError(
            f"{seen.spec.name}: its trials leave no model that kubetuna can score; finalize and evaluate know the "
            "models of kubetuna_trial.task1 and task2. To train with the winner: kubetuna train"
        )
    looks = _refuse_second_look(seen, again)
    place = folder / MODELS / f"trial-{trial.number}"
    trained = train(seen, trial, trial.params, place, seeds_of(seen, trial, seeds), say, words)
    record: dict[str, Any] = {
        "metric": seen.spec.objectives[0].metric,
        "direction": seen.spec.objectives[0].direction,
        "trial": trial.number,
        "params": dict(trial.params),
        "looks": looks + 1,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runs": [],
    }
    keep(record)
    say("scoring the held-out test")
    done = record | _scored(record["metric"], trial, trained, evaluate(place, "test"))
    keep(done)
    return done


def _refuse_second_look(seen: StudyRecord, again: bool) -> int:
    """How often the test was looked at before."""
    if seen.final is None:
        return 0
    looks = int(seen.final.get("looks", 1))
    if not again:
        when = seen.final.get("when", "an earlier day")
        raise ResultsError(
            f"{seen.spec.name}: the held-out test was scored on {when}; a second look would tune on it. "
            "For its result: kubetuna summary. To score it anyway: --again"
        )
    return looks


def _scored(
    metric: str, trial: TrialRecord, trained: Sequence[Trained], found: Mapping[str, Any]
) -> dict[str, Any]:
    values = [float(run["metrics"][metric]) for run in found["runs"]]
    validation = [t.metrics[metric] for t in trained if metric in t.metrics]
    return {
        "mean": fmean(values),
        "interval": list(mean_interval(values)),
        "metrics": found["metrics"],
        "baselines": {n: f[metric] for n, f in found["baselines"].items() if metric in f},
        "validation": {
            "winner": trial.values[0] if trial.values else None,
            "mean": fmean(validation) if validation else None,
        },
        "data": found.get("data"),
        "protocol": found.get("protocol"),
        "costs": found["runs"][0].get("costs"),
        "runs": [
            {"seed": t.seed, "model": str(t.folder), "metrics": run["metrics"]}
            for t, run in zip(trained, found["runs"], strict=True)
        ],
    }
