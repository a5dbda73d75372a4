"""``retest``: the best trials again with further seeds, for a single run of a configuration says little about it.

The trial that was chosen for being best was lucky to be; over several seeds another one may lead. All figures are
of validation data: the held-out test stays untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from kubetuna.analysis.report.view import value_of, view_of
from kubetuna.analysis.statistics.intervals import Chances, Returns, chances, overlap
from kubetuna.errors import ResultsError
from kubetuna.files import write_json
from kubetuna.study.record import StudyRecord
from kubetuna.training.process import Say
from kubetuna.training.train import seeds_of, train
from kubetuna.trials.records import TrialRecord

RECORD, MODELS, RETURNS = "retest.json", "retest", "returns.csv"


@dataclass(frozen=True, slots=True)
class Retested:
    """One configuration over several seeds: the trial's own value, and the mean of all with its intervals."""

    trial: int
    value: float
    values: tuple[float, ...]
    chances: Chances

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return fmean(self.values)

    def as_json(self) -> dict[str, Any]:
        """One entry of ``kubetuna retest --json``."""
        return {
            "trial": self.trial,
            "value": self.value,
            "values": list(self.values),
            "mean": self.mean,
            **self.chances.as_json(),
        }


def retest(
    seen: StudyRecord, top: int, seeds: int, folder: Path, say: Say, words: Sequence[str] = ()
) -> tuple[Retested, ...]:
    """Train the ``top`` best trials with ``seeds`` seeds each; the best by its mean first.

    What is trained already is not trained again. Leaves ``retest.json`` and the models in ``folder``.

    Raises:
        ResultsError: no trial has completed, there are several objectives, or a training failed.
    """
    objective = seen.spec.objectives[0]
    found = [_retested(seen, trial, seeds, folder, say, words) for trial in best_trials(seen, top)]
    ranked = tuple(sorted(found, key=lambda one: (objective.sign * one.mean, one.trial)))
    record = {"metric": objective.metric, "direction": objective.direction, "seeds": seeds}
    write_json(folder / RECORD, {**record, "trials": [one.as_json() for one in ranked]})
    return ranked


def best_trials(seen: StudyRecord, top: int) -> list[TrialRecord]:
    """The ``top`` best trials, or as many as there are, the best first.

    Raises:
        ResultsError: there are none, or there is no order of them.
    """
    if top < 1:
        raise ResultsError(f"top: {top} is not allowed; it must be at least 1")
    view = view_of(seen.spec, seen.status, seen.trials, 0.0, seen.others.alike)
    if view.spec.multi_objective:
        raise ResultsError(f"{view.spec.name} has several objectives, so its trials have no order")
    ranked = view.ranked()
    if not ranked:
        raise ResultsError(f"{view.spec.name}: {view.why_no_best}")
    return ranked[:top]


def _retested(
    seen: StudyRecord, trial: TrialRecord, seeds: int, folder: Path, say: Say, words: Sequence[str]
) -> Retested:
    metric = seen.spec.objectives[0].metric
    place = folder / MODELS / f"trial-{trial.number}"
    done = train(seen, trial, trial.params, place, seeds_of(seen, trial, seeds), say, words)
    values = tuple(one.metrics[metric] for one in done if metric in one.metrics)
    if not values:
        raise ResultsError(f"trial {trial.number}: the trainer printed no {metric}")
    found = chances(metric, values, [returns_in(one.folder) for one in done])
    return Retested(trial.number, value_of(trial), values, found)


def returns_in(folder: Path) -> Returns | None:
    """The returns beside a model, in the last column of ``returns.csv``; None where its trainer left none."""
    try:
        rows = (folder / RETURNS).read_text("utf-8").splitlines()[1:]
        found = np.array([float(row.rpartition(",")[2]) for row in rows])
    except (OSError, ValueError):
        return None
    return Returns.of(found) if len(found) and np.isfinite(found).all() else None


def verdict(ranked: Sequence[Retested]) -> str:
    """One sentence on which configuration to take."""
    first = ranked[0]
    if first.chances.shown is None:
        return f"Trial {first.trial} leads with one seed each, which says nothing of their order."
    rivals = [one.trial for one in ranked[1:] if overlap(one.chances.shown, first.chances.shown)]
    words = f"Over {len(first.values)} seeds trial {first.trial} leads"
    if rivals:
        words += f"; its interval overlaps with that of trial {', '.join(map(str, rivals))}: their order is open"
    return f"{words}."
