"""Pruners on simulated curves: reports saved, how many of the best were stopped, and what the winner lost.

Every pruner sees the same curves. Their ends are normally distributed, their beginnings lie three deviations below
and rise at rates of their own: nearly without noise, with noise half as large as the spread of the ends, and with
good trials that begin slower than bad ones.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner

from benchmarks.measure import Row, say
from kubetuna.search.halving import HalvingPruner

Floats = NDArray[np.float64]
TRIALS, REPORTS, BEST = 60, 20, 5
NOISE = {"smooth": 0.02, "noisy": 0.5, "crossing": 0.1}
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    "median": lambda: MedianPruner(n_startup_trials=5),
    "asha": lambda: SuccessiveHalvingPruner(min_resource=1),
    "auto": HalvingPruner,
}


def rows(quick: bool) -> list[Row]:
    """Means over the seeds with their standard errors."""
    found: list[Row] = []
    for kind in NOISE:
        told: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PRUNERS}
        for seed in range(3 if quick else 20):
            say(f"  {kind}, seed {seed}")
            quality, curves = _curves(kind, seed)
            for name, pruner in PRUNERS.items():
                told[name].append(_judged(quality, curves, *_replayed(curves, pruner())))
        found += [row for name, figures in told.items() for row in _rows(f"{kind}: {name}", figures)]
    return found


def _rows(name: str, figures: Sequence[tuple[float, float, float]]) -> list[Row]:
    words = ((", reports saved", "%"), (f", of the {BEST} best stopped", "%"), (", quality given away", ""))
    return [
        Row(name + word, statistics.fmean(column), unit, statistics.stdev(column) / math.sqrt(len(column)))
        for (word, unit), column in zip(words, zip(*figures, strict=True), strict=True)
    ]


def _curves(kind: str, seed: int) -> tuple[Floats, list[Floats]]:
    """The true ends of the trials, in units of their own spread, and what they report."""
    random = np.random.default_rng(seed)
    quality = random.normal(size=TRIALS)
    rates = 4 * np.exp(-0.6 * quality if kind == "crossing" else random.normal(0, 0.7, TRIALS))
    done = np.arange(1, REPORTS + 1) / REPORTS
    means = quality[:, None] - 3 * np.exp(-rates[:, None] * done)
    return quality, list(means + random.normal(0, NOISE[kind], means.shape))


def _replayed(curves: Sequence[Floats], pruner: BasePruner) -> tuple[int, list[int]]:
    """Reports made, and the trials that were let to their end."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    used, whole = 0, []
    for number, curve in enumerate(curves):
        trial = study.ask()
        for step, value in enumerate(curve, 1):
            trial.report(float(value), step)
            used += 1
            if step < len(curve) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(curve[-1]))
            whole.append(number)
    return used, whole


def _judged(quality: Floats, curves: Sequence[Floats], used: int, whole: list[int]) -> tuple[float, float, float]:
    stopped = set(np.argsort(-quality)[:BEST].tolist()) - set(whole)
    winner = max(whole, key=lambda number: curves[number][-1])
    saved = 100 * (1 - used / (TRIALS * REPORTS))
    return saved, 100 * len(stopped) / BEST, float(quality.max() - quality[winner])
