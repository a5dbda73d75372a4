"""How many steps of Task 1 the median pruner saves, and what it costs in the best value found.

Each sampled point is trained once, to its end; then the same curves are replayed with and without the pruner, so
that nothing but the pruner differs.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

import optuna
import torch

from benchmarks.measure import Row, say
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.samplers import Proposer
from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task1.data import planted_dataset
from kubetuna_trial.task1.parameters import parse_parameters
from kubetuna_trial.task1.planted import SNR
from kubetuna_trial.task1.training import UPDATES, Plan, Report, Trial

EXAMPLE = Path(__file__).parents[1] / "examples" / "experiment-task1.yaml"
REPORTS = 10


def rows(quick: bool) -> list[Row]:
    """Over several seeds of the sampler."""
    torch.set_num_threads(1)
    seeds, trials, updates = (2, 8, 20) if quick else (3, 20, UPDATES)
    saved, lost = [], []
    for seed in range(seeds):
        curves = _curves(seed, trials, updates)
        used, best = _replay(curves)
        saved.append(100 * (1 - used / (trials * REPORTS)))
        lost.append(max(curve[-1] for curve in curves) - best)
    note = f"{trials} random points of the example's space, {seeds} seeds, {updates} updates, {REPORTS} reports"
    return [
        Row("pruning: steps saved", statistics.mean(saved), "%", (max(saved) - min(saved)) / 2, note),
        Row("pruning: best sharpe_ratio given away", statistics.mean(lost), "", (max(lost) - min(lost)) / 2, note),
    ]


def _curves(seed: int, trials: int, updates: int) -> list[list[float]]:
    spec = parse_file_text(EXAMPLE.read_text(), sets=("algorithm.algorithmName=random", f"maxTrialCount={trials}",
                                                      "algorithm.algorithmSettings=[]"))  # fmt: skip
    proposer, study = Proposer(spec, seed), optuna.create_study()
    data = planted_dataset(20_000, 7, SNR)
    found = []
    for number in range(trials):
        study.ask()
        params = proposer.propose(study, study.trials[-1], number)
        say(f"  seed {seed}: training {number + 1} of {trials}")
        told: list[Report] = []
        plan = Plan(parse_parameters(params), number, updates, REPORTS, "quick", "cpu")
        Trial(plan, data, lambda key: Checkpoints(None, key)).run(told.append, lambda: False)
        found.append([report.judgement.performance.sharpe_ratio for report in told])
    return found


def _replay(curves: Sequence[Sequence[float]]) -> tuple[int, float]:
    """Steps used and the best final value with the example's pruner."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    used, best = 0, float("-inf")
    for curve in curves:
        trial = study.ask()
        for step, value in zip(itertools.count(1), curve, strict=False):
            trial.report(value, step)
            used += 1
            if step < REPORTS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
            best = max(best, curve[-1])
    return used, best
