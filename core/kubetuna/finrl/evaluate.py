"""``evaluate``: a saved model by its trainer's protocol, beside what needs no training, over all of its seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from kubetuna.analysis.statistics.intervals import Chances, Returns, chances
from kubetuna.errors import BackendMissing, ResultsError
from kubetuna.experiment.model import better
from kubetuna.files import read_object
from kubetuna.local.command import inherited
from kubetuna.training.train import RECORD

# How to tell whose model a folder holds: what its trainer leaves there.
MARKS = {"ensemble.json": "task1", "adapter": "task2"}
# Options of a trainer that say which data: a model is judged on what it was trained beside.
DATA_OPTIONS = ("--data", "--stocks", "--news", "--tickers", "--data-seed", "--prices", "--factors", "--align")
DATA_FLAGS = ("--shuffle-news",)
CONTENDERS = ("untuned", "bag_of_words", "random", "buy_and_hold", "flat")


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
            f"{folder}: holds no model ({found or 'empty'}); evaluate knows those of kubetuna_trial.task1 and "
            "task2, which 'kubetuna train STUDY --save-path DIR' makes"
        )
    return inner


def _seed_order(place: Path) -> tuple[int, str]:
    number = place.name.removeprefix("seed-")
    return (int(number) if number.isdigit() else 0, place.name)


def task_in(folder: Path) -> str | None:
    """Whose model a folder holds."""
    return next((task for mark, task in MARKS.items() if (folder / mark).exists()), None)


def evaluate(
    folder: Path, split: str | None = None, data: Path | None = None, final: bool = False
) -> dict[str, Any]:
    """Judge every model in a folder, by default on its validation data, or on all rows of other data.

    Raises:
        ResultsError: there is no model, or the trainer refused; a ``test`` that is not ``final`` among it.
    """
    runs = []
    for place in models_in(folder):
        task = task_in(place)
        assert task is not None
        part = split or ("all" if data is not None and task == "task1" else "validation")
        words = ["evaluate", *model_words(task, place), "--split", part, "--json", *_data_words(task, place, data)]
        words += ["--final"] if final else []
        runs.append({"model": str(place), **_named(task, ask_trainer(task, words))})
    metric, direction = goal_of(folder)
    about = {"model": str(folder), "metric": metric, "direction": direction}
    return {**about, **_joined(runs), **chances_of(metric, runs).as_json(), "runs": runs}


def chances_of(metric: str, runs: Sequence[Mapping[str, Any]]) -> Chances:
    """The intervals of a metric over judged models, as far as they have it."""
    values = [float(run["metrics"][metric]) for run in runs if metric in run["metrics"]]
    return chances(metric, values, [_returns(run) for run in runs]) if values else Chances()


def _returns(run: Mapping[str, Any]) -> Returns | None:
    """What a trainer says of its returns: all of them, or sums of neighbours with those of their squares."""
    sums = np.array(run.get("returns") or (), dtype=np.float64)
    squares = np.array(run["squares"], dtype=np.float64) if "squares" in run else sums**2
    return Returns(sums, squares, int(run.get("length", len(sums)))) if len(sums) else None


def model_words(task: str, place: Path) -> list[str]:
    """The words that name a model to a shipped trainer's verb."""
    return ["--model", str(place)] if task == "task1" else ["--adapter", str(place / "adapter")]


def _data_words(task: str, place: Path, data: Path | None) -> list[str]:
    """The data that somebody names, else those in the command that trained the model."""
    if data is not None:
        return ["--data", str(data)]
    record = place / RECORD
    # An ensemble of task 1 says itself what it was trained on.
    if task == "task1" or not record.exists():
        return []
    command = [str(word) for word in read_object(record).get("command", ())]
    pairs = [[a, b] for a, b in pairwise(command) if a in DATA_OPTIONS]
    given = [*(word for pair in pairs for word in pair), *(word for word in command if word in DATA_FLAGS)]
    return [*given, "--own-data"]


def _named(task: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """A trainer's answer with the model's own figures under ``metrics`` and the others' under ``baselines``."""
    if "metrics" in found:
        return dict(found)
    others = {name: found[name] for name in CONTENDERS if name in found}
    rest = {name: value for name, value in found.items() if name not in (*CONTENDERS, "tuned", "model")}
    return {**rest, "task": task, "metrics": found["tuned"], "baselines": others}


def data_of(folder: Path) -> str | None:
    """The hash of the data that the models in a folder were trained beside; None where they do not say."""
    protocol = _note_in(folder).get("protocol")
    return str(protocol["data"]) if isinstance(protocol, dict) and "data" in protocol else None


def market_in(folder: Path) -> list[Sequence[int]]:
    """The sketches of the prices that the models in a folder were trained beside."""
    market = _note_in(folder).get("market")
    return list(market.values()) if isinstance(market, dict) else []


def _note_in(folder: Path) -> Mapping[str, Any]:
    """What the first model in a folder says of itself."""
    place = models_in(folder)[0]
    note = place / ("ensemble.json" if task_in(place) == "task1" else "adapter/trial.json")
    return read_object(note) if note.exists() else {}


def goal_of(folder: Path) -> tuple[str, str]:
    """The metric that the model was tuned for, and its direction, where it says so."""
    for path in (folder / RECORD, *sorted(folder.glob(f"seed-*/{RECORD}"))):
        if path.exists():
            record = read_object(path)
            return str(record.get("metric", "sharpe_ratio")), str(record.get("direction", "maximize"))
    return "sharpe_ratio", "maximize"


def _joined(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the seeds; the baselines that rest on the data alone are the same in each."""
    first = runs[0]
    baselines = {
        name: {m: fmean(r["baselines"][name][m] for r in runs) for m in figures}
        for name, figures in first["baselines"].items()
    }
    return {
        **{key: first[key] for key in ("task", "split", "fold", "data", "protocol") if key in first},
        "metrics": {name: fmean(r["metrics"][name] for r in runs) for name in first["metrics"]},
        "baselines": baselines,
    }


def beaten(found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Which baselines the model beats in its metric, and which it does not."""
    metric = found["metric"]
    own = found["metrics"].get(metric)
    known = {n: figures[metric] for n, figures in found["baselines"].items() if metric in figures}
    if own is None:
        return [], []
    direction = found.get("direction", "maximize")
    won = [n for n, v in known.items() if better(direction, own, v)]
    return won, [n for n in known if n not in won]


def ask_trainer(task: str, words: Sequence[str]) -> dict[str, Any]:
    """Run a shipped trainer's verb that answers with one JSON object.

    Raises:
        BackendMissing: the trainers are not installed.
        ResultsError: it refused; the message is its own.
    """
    argv = [sys.executable, "-m", f"kubetuna_trial.{task}", *words]
    done = subprocess.run(argv, env=inherited(), capture_output=True, stdin=subprocess.DEVNULL, check=False)
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode and "No module named" in said:
        raise BackendMissing("the trainers are not installed here: pip install kubetuna-trial")
    if done.returncode:
        raise ResultsError(said.splitlines()[-1].removeprefix("error: ") if said else f"{' '.join(argv)} failed")
    try:
        found = json.loads(done.stdout.decode().strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise ResultsError(f"{' '.join(argv)}: gave no JSON object") from error
    return dict(found)
