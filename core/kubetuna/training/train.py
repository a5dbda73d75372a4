"""``train``: the winner's parameters to the end of their budget, once or with several seeds, as a model on disk."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetuna.analysis.best_config import configuration
from kubetuna.errors import ResultsError
from kubetuna.files import read_object, write_json, write_whole
from kubetuna.study.record import StudyRecord, began_in
from kubetuna.training.card import model_card
from kubetuna.training.process import Curve, Say, TrainingRequest, argv_of, machine, run_trainer
from kubetuna.trials.environment import trial_seed
from kubetuna.trials.records import TrialRecord

RECORD = "training.json"
SEEDS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: its folder, its seed, its metrics, the protocol that it was judged by."""

    folder: Path
    seed: int
    metrics: Mapping[str, float]
    protocol: str | None = None


def seeds_of(seen: StudyRecord, trial: TrialRecord, count: int) -> list[int]:
    """The trial's own seed first, then others that follow from it.

    Raises:
        ResultsError: a number of seeds that is not allowed.
    """
    if not 1 <= count <= SEEDS_LIMIT:
        raise ResultsError(f"seeds: {count} is not allowed; it must be from 1 to {SEEDS_LIMIT}")
    own = trial_seed(int(seen.seed or 0), trial.number)
    return [own, *(trial_seed(own, index) for index in range(1, count))]


def train(
    seen: StudyRecord,
    trial: TrialRecord,
    params: Mapping[str, Any],
    folder: Path,
    seeds: Sequence[int],
    say: Say,
    words: Sequence[str] = (),
) -> list[Trained]:
    """Train a model per seed: into ``folder`` itself, or with several seeds into ``seed-1``, ``seed-2``, … in it.

    What is finished already is not done again, and what was interrupted goes on.

    Raises:
        ResultsError: the trainer failed, or the folder holds another model.
    """
    places = [folder] if len(seeds) == 1 else [folder / f"seed-{i + 1}" for i in range(len(seeds))]
    requests = [
        TrainingRequest(
            seen.spec,
            trial.number,
            params,
            seed,
            place,
            tuple(words),
            began_in(seen.folder),
            None if words else seen.protocol,
        )
        for seed, place in zip(seeds, places, strict=True)
    ]
    for request in requests:
        _refuse_another(request)
    return [_train_one(seen, trial, request, say) for request in requests]


def fingerprint(request: TrainingRequest) -> str:
    """What must be equal for a training to be the same one."""
    text = json.dumps([request.seed, dict(request.params), argv_of(request)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse_another(request: TrainingRequest) -> None:
    path = request.folder / RECORD
    if path.exists() and read_object(path).get("fingerprint") != fingerprint(request):
        raise ResultsError(f"{request.folder}: holds a model of another training; give another --save-path")


def _train_one(seen: StudyRecord, trial: TrialRecord, request: TrainingRequest, say: Say) -> Trained:
    path = request.folder / RECORD
    known = read_object(path) if path.exists() else {}
    if known.get("finished"):
        say(f"{request.folder} is trained already")
        return Trained(request.folder, request.seed, known["metrics"], known.get("protocol"))
    record = {**configuration(seen, trial), "params": dict(request.params), "seed": request.seed}
    record |= {"fingerprint": fingerprint(request), "command": list(argv_of(request)), "machine": machine()}
    write_json(path, {**record, "finished": False})
    say(f"training into {request.folder} (seed {request.seed})")
    curve = run_trainer(request, say)
    # More words for the trainer may have changed what it is judged on.
    record["protocol"] = curve.protocol or record["protocol"]
    metrics = {**curve.metrics, **_own_metrics(request.folder)}
    write_whole(request.folder / "curve.csv", _curve_csv(curve))
    write_whole(request.folder / "README.md", model_card(seen, record, metrics, request.folder))
    write_json(path, {**record, "metrics": metrics, "finished": True})
    shutil.rmtree(request.folder / "checkpoints", ignore_errors=True)
    return Trained(request.folder, request.seed, metrics, record["protocol"])


def _own_metrics(folder: Path) -> dict[str, float]:
    """What the trainer wrote down itself, which may be more than the experiment reads."""
    path = folder / "metrics.json"
    found = read_object(path) if path.exists() else {}
    return {k: float(v) for k, v in found.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _curve_csv(curve: Curve) -> str:
    names = list(dict.fromkeys(name for _, values in curve.reports for name in values))
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["step", *names])
    rows.writerows([step, *(values.get(name) for name in names)] for step, values in curve.reports)
    return out.getvalue()
