"""``walkforward``: the best trials' parameters trained once per fold, and judged on the block after it.

The trainer cuts the time before the held-out test into folds (its option ``--fold I/K``); the test stays untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from kubetuna.analysis.best_config import best_trial
from kubetuna.analysis.report.view import value_of
from kubetuna.analysis.statistics.intervals import Figure, chances, mean_chances
from kubetuna.analysis.statistics.ranks import Order, order_of
from kubetuna.errors import ResultsError
from kubetuna.files import write_json
from kubetuna.finrl.evaluate import evaluate
from kubetuna.finrl.fold_results import FEWEST_RANKED, RECORD, Block, Walked, WalkForward
from kubetuna.finrl.shipped import shipped_task
from kubetuna.study.record import StudyRecord
from kubetuna.training.process import Say
from kubetuna.training.retest import best_trials, returns_in
from kubetuna.training.train import seeds_of, train
from kubetuna.trials.records import TrialRecord

MODELS = "walkforward"
FEWEST, MOST = 2, 10
# Two already tell the chance of training apart: over the folds there are as many pairs as folds.
SEEDS = 2


def walk_forward(
    seen: StudyRecord,
    folds: int,
    top: int,
    folder: Path,
    models: Path,
    say: Say,
    words: Sequence[str] = (),
    seeds: int = SEEDS,
) -> WalkForward:
    """Train the ``top`` best trials on each fold, with their own seed and further ones, into ``models``.

    What is trained already is not trained again. Leaves ``walkforward.json`` in ``folder``.

    Raises:
        ResultsError: no trial has completed, there are several objectives, the trainer knows no folds or failed.
    """
    if not FEWEST <= folds <= MOST:
        raise ResultsError(f"folds: {folds} is not allowed; it must be from {FEWEST} to {MOST}")
    if shipped_task(seen.spec) is None:
        raise ResultsError(
            f"{seen.spec.name}: its trainer knows no folds; walkforward works with kubetuna_trial.task1 and task2. "
            "To try the best trials with further seeds: kubetuna retest"
        )
    objective, chosen = seen.spec.objectives[0], chosen_trials(seen, top)

    def walked(trial: TrialRecord) -> Walked:
        numbers = range(1, folds + 1)
        found = [_trained(seen, trial, fold, folds, models, say, words, seeds) for fold in numbers]
        return _walked(trial, objective.metric, found)

    trials = tuple(walked(trial) for trial in chosen)
    blocks = tuple(
        _block(_place(models, chosen[0], fold, folds), objective.metric, f"fold {fold} of {folds}", say)
        for fold in range(1, folds + 1)
    )
    found = WalkForward(
        seen.spec.name, seen.uid, objective.metric, objective.direction, blocks, trials, _order(trials)
    )
    write_json(folder / RECORD, found.as_json())
    return found


def chosen_trials(seen: StudyRecord, top: int) -> list[TrialRecord]:
    """The best trials of the search; the winner first, which a re-test may have chosen from among them.

    Raises:
        ResultsError: there are none, or there is no order of them.
    """
    ranked, winner = best_trials(seen, top), best_trial(seen)
    return [winner, *(trial for trial in ranked if trial.number != winner.number)][:top]


def _place(models: Path, trial: TrialRecord, fold: int, folds: int) -> Path:
    return models / f"trial-{trial.number}" / f"fold-{fold}-of-{folds}"


def _walked(trial: TrialRecord, metric: str, found: Sequence[Figure]) -> Walked:
    """A trial over all folds: the mean over the seeds on each, and what chance there is in it."""
    return Walked(
        trial.number,
        value_of(trial),
        tuple(fmean(values) for values, _ in found),
        tuple(tuple(values) for values, _ in found),
        mean_chances(metric, found),
        tuple(chances(metric, *one) for one in found),
    )


def _trained(
    seen: StudyRecord,
    trial: TrialRecord,
    fold: int,
    folds: int,
    models: Path,
    say: Say,
    words: Sequence[str],
    seeds: int,
) -> Figure:
    """The objective on the fold's block, and the returns there, of each seed."""
    say(f"trial {trial.number}, fold {fold} of {folds}")
    metric, place = seen.spec.objectives[0].metric, _place(models, trial, fold, folds)
    asked = (*words, "--fold", f"{fold}/{folds}")
    done = train(seen, trial, trial.params, place, seeds_of(seen, trial, seeds), say, asked)
    if any(metric not in one.metrics for one in done):
        raise ResultsError(f"trial {trial.number}: the trainer printed no {metric}")
    return [one.metrics[metric] for one in done], [returns_in(one.folder) for one in done]


def _block(model: Path, metric: str, name: str, say: Say) -> Block:
    """What the winner's model had to beat on its block."""
    say(f"judging what needs no training, {name}")
    found = evaluate(model, "validation")
    baselines = {who: float(figures[metric]) for who, figures in found["baselines"].items() if metric in figures}
    return Block(_span(found["runs"][0]), baselines)


def _span(run: Mapping[str, Any]) -> str:
    if "rows" in run:
        first, stop = run["rows"]
        return f"rows {first:,} to {stop - 1:,}"
    return f"{run['first']} to {run['last']}"


def _order(trials: Sequence[Walked]) -> Order | None:
    if len(trials) < FEWEST_RANKED:
        return None
    return order_of(np.array([one.values for one in trials], dtype=np.float64))
