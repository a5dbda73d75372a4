"""``finalize``: the winner is trained again with several seeds, and the held-out test is scored once.

That it was is durable before it is done, in the folder of results, in the store and on the machine: a second look
at the same test, by whatever study, would turn it into one more validation set, so it is refused unless somebody
insists, and then counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from kubetuna.errors import ResultsError
from kubetuna.finrl.evaluate import data_of, evaluate, market_in
from kubetuna.finrl.looks import Look, same_test, sketches, who
from kubetuna.finrl.shipped import shipped_task
from kubetuna.study.record import StudyRecord
from kubetuna.training.process import Say
from kubetuna.training.train import Trained, seeds_of, train
from kubetuna.trials.records import TrialRecord

SEEDS = 5
MODELS = "final"
INTERVALS = ("interval", "marketInterval", "trainingInterval")

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
    looks: Sequence[Look] = (),
) -> dict[str, Any]:
    """Train, score the test part, and keep what came of it with ``keep``, which is called before as well.

    ``looks`` are all that are known, at whatever test.

    Raises:
        ResultsError: the trials leave no model to score, the test was scored before, or the trainer failed.
    """
    if shipped_task(seen.spec) is None:
        raise ResultsError(
            f"{seen.spec.name}: its trials leave no model that kubetuna can score; finalize and evaluate know the "
            "models of kubetuna_trial.task1 and task2. To train with the winner: kubetuna train"
        )
    _refuse_second_look(seen, same_test(looks, seen), again)
    place = folder / MODELS / f"trial-{trial.number}"
    trained = train(seen, trial, trial.params, place, seeds_of(seen, trial, seeds), say, words)
    data, market = data_of(place), sketches(market_in(place))
    # Other words for the trainer may have led to other data than the trials had.
    earlier = same_test(looks, seen, data, market)
    _refuse_second_look(seen, earlier, again)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    number = 1 + max((look.number for look in earlier if look.uid == seen.uid), default=_old_looks(seen))
    look = Look(seen.spec.name, seen.uid, number, now, who(), data or "", trained[0].protocol or "", market)
    record: dict[str, Any] = {
        "metric": seen.spec.objectives[0].metric,
        "direction": seen.spec.objectives[0].direction,
        "trial": trial.number,
        "params": dict(trial.params),
        "looks": max(len(earlier), _old_looks(seen)) + 1,
        "seen": [asdict(one) for one in (*earlier, look)],
        "when": now,
        "runs": [],
    }
    keep(record)
    say("scoring the held-out test")
    done = record | _scored(record["metric"], trial, trained, evaluate(place, "test", final=True))
    keep(done)
    return done


def _old_looks(seen: StudyRecord) -> int:
    """How often the study itself looked, as records without a list of looks have it too."""
    return int((seen.final or {}).get("looks", 1)) if seen.final else 0


def _refuse_second_look(seen: StudyRecord, earlier: Sequence[Look], again: bool) -> None:
    if again or not (earlier or seen.final):
        return
    when = earlier[-1].when if earlier else (seen.final or {}).get("when", "an earlier day")
    others = [look for look in earlier if look.uid != seen.uid]
    by = f" by {others[-1].by} in study {others[-1].study}, on the same data" if others else ""
    when = others[-1].when if others else when
    raise ResultsError(
        f"{seen.spec.name}: the held-out test was scored on {when}{by}; a second look would tune on it. "
        "For its result: kubetuna summary. To score it anyway: --again"
    )


def _scored(
    metric: str, trial: TrialRecord, trained: Sequence[Trained], found: Mapping[str, Any]
) -> dict[str, Any]:
    values = [float(run["metrics"][metric]) for run in found["runs"]]
    validation = [t.metrics[metric] for t in trained if metric in t.metrics]
    return {
        "mean": fmean(values),
        **{name: found[name] for name in INTERVALS if name in found},
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
