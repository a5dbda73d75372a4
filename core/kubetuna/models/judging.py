"""``evaluate``: a saved model by its trainer's protocol, beside what needs no training, over all of its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from kubetuna.errors import ResultsError
from kubetuna.models.training import RECORD
from kubetuna.results.files import read_object

CONFIDENCE = 0.95
# How to tell whose model a folder holds: a file that its trainer leaves.
MARKS = {"ensemble.json": "task1", "adapter": "task2"}


def models_in(folder: Path) -> list[Path]:
    """The folder itself, or the models per seed in it.

    Raises:
        ResultsError: it holds no model.
    """
    if task_in(folder):
        return [folder]
    inner = sorted((p for p in folder.glob("seed-*") if task_in(p)), key=_seed_order) if folder.is_dir() else []
    if not inner:
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
        raise ResultsError(
            f"{folder}: holds no model ({found or 'empty'}); 'kubetuna train STUDY --save-path DIR' makes one"
        )
    return inner


def _seed_order(place: Path) -> tuple[int, str]:
    number = place.name.removeprefix("seed-")
    return (int(number) if number.isdigit() else 0, place.name)


def task_in(folder: Path) -> str | None:
    """Whose model a folder holds."""
    return next((task for mark, task in MARKS.items() if (folder / mark).exists()), None)


def evaluate(folder: Path, split: str = "validation", data: Path | None = None) -> dict[str, Any]:
    """Judge every model in a folder on a part of its own data, or of another folder of data.

    Raises:
        ResultsError: there is no model, or the trainer refused.
    """
    # Here, not above: who only looks for models need not load what starts processes.
    from kubetuna.models.trainer import ask_trainer

    words = ["--split", split, "--json", *(["--data", str(data)] if data else [])]
    runs = []
    for place in models_in(folder):
        task = task_in(place)
        assert task is not None
        runs.append({"model": str(place), **ask_trainer(task, ["evaluate", "--model", str(place), *words])})
    return {"model": str(folder), "metric": metric_of(folder), **_joined(runs), "runs": runs}


def metric_of(folder: Path) -> str:
    """The metric that the model was tuned for, where it says so."""
    for path in (folder / RECORD, *sorted(folder.glob(f"seed-*/{RECORD}"))):
        if path.exists():
            return str(read_object(path).get("metric", "sharpe_ratio"))
    return "sharpe_ratio"


def _joined(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the seeds; the baselines that rest on the data alone are the same in each."""
    first = runs[0]
    baselines = {
        name: {m: fmean(r["baselines"][name][m] for r in runs) for m in figures}
        for name, figures in first["baselines"].items()
    }
    return {
        **{key: first[key] for key in ("task", "split", "data", "protocol") if key in first},
        "metrics": {name: fmean(r["metrics"][name] for r in runs) for name in first["metrics"]},
        "baselines": baselines,
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval for the mean of values; of a single one, it is all that is known."""
    mean = fmean(values)
    if len(values) < 2:
        return mean, mean
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def beaten(found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Which baselines the model beats in its metric, and which it does not."""
    metric = found["metric"]
    own = found["metrics"].get(metric)
    known = {n: figures[metric] for n, figures in found["baselines"].items() if metric in figures}
    if own is None:
        return [], []
    return [n for n, v in known.items() if own > v], [n for n, v in known.items() if not own > v]
