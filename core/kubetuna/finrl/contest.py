"""Handing a winner in: trained to its trial's own model, and written as the contest's starter kits load it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubetuna.errors import ResultsError
from kubetuna.finrl.evaluate import ask_trainer, model_words
from kubetuna.finrl.shipped import shipped_task
from kubetuna.study.record import StudyRecord
from kubetuna.training.process import Say
from kubetuna.training.train import seeds_of, train
from kubetuna.trials.records import TrialRecord

MODELS = "contest"


def hand_in(
    seen: StudyRecord, trial: TrialRecord, folder: Path, say: Say, words: Sequence[str] = ()
) -> dict[str, Any]:
    """Train a trial's model, unless that is done, and write it into a folder; what was written.

    Raises:
        ResultsError: the trials leave no model that the contest knows, or the trainer failed.
    """
    task = shipped_task(seen.spec)
    if task is None:
        raise ResultsError(
            f"{seen.spec.name}: its trials leave no model for the contest, which takes those of "
            "kubetuna_trial.task1 and task2"
        )
    place = seen.home / MODELS / f"trial-{trial.number}"
    train(seen, trial, trial.params, place, seeds_of(seen, trial, 1), say, words)
    found = ask_trainer(task, ["export", *model_words(task, place), "--out", str(folder), "--json"])
    return {"contest": str(folder), "task": task, "trial": trial.number, "model": str(place), **found}
