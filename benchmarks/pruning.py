"""Whether pruning earns its place: how well each report ranks trials as the last does, and what the pruner costs.

Sampled points of Task 1 are trained once, to their ends, on data of the contest's size with a weak signal. Then the
same curves are replayed in many orders with the example's own pruner, so that nothing but the pruner differs.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import torch
from scipy.stats import spearmanr

from benchmarks.measure import Row, say
from kubetuna.experiment.model import Experiment
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.catalogue import build_pruner
from kubetuna.search.samplers import Proposer
from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task1.data import Dataset, planted_dataset
from kubetuna_trial.task1.parameters import parse_parameters
from kubetuna_trial.task1.training import UPDATES, Plan, Report, Trial

EXAMPLE = Path(__file__).parents[1] / "examples" / "experiment-task1.yaml"
REPORTS, TOP, ORDERS = 10, 5, 20
ROWS, WEAK = 800_000, 0.12
# A quarter of the width: what is pruned is asked, not what a wide network costs.
NARROWER = 4


def rows(quick: bool) -> list[Row]:
    """Agreement by report, then what pruning saves and whom it hits."""
    torch.set_num_threads(1)
    trials, size, updates = (8, 20_000, 20) if quick else (30, ROWS, UPDATES)
    spec = parse_file_text(EXAMPLE.read_text())
    curves = _curves(trials, size, updates)
    note = f"{trials} random points, {size:,} rows, signal {WEAK:g}, {updates} updates, {ORDERS} orders"
    last = [curve[-1] for curve in curves]
    agree = [float(spearmanr([c[step] for c in curves], last).statistic) for step in range(REPORTS - 1)]
    found = [replayed(spec, curves, seed) for seed in range(ORDERS)]
    return [
        *(Row(f"pruning: report {n} ranks as the last", value, "ρ", note=note) for n, value in enumerate(agree, 1)),
        Row(
            "pruning: steps saved", 100 * statistics.mean(saved for saved, _ in found), "%", note=f"{ORDERS} orders"
        ),
        Row(f"pruning: of the best {TOP} stopped", 100 * statistics.mean(hit for _, hit in found), "%"),
    ]


def _curves(trials: int, size: int, updates: int) -> list[list[float]]:
    random_search = ("algorithm.algorithmName=random", "algorithm.algorithmSettings=[]")
    loose = parse_file_text(EXAMPLE.read_text(), sets=random_search)
    proposer, study, data = Proposer(loose, 1), optuna.create_study(), planted_dataset(size, 7, WEAK)
    found = []
    for number in range(trials):
        study.ask()
        given: dict[str, Any] = dict(proposer.propose(study, study.trials[-1], number))
        say(f"  training {number + 1} of {trials}")
        found.append(trained(data, given, number, updates))
    return found


def trained(
    data: Dataset, params: Mapping[str, Any], seed: int, updates: int, reports: int = REPORTS
) -> list[float]:
    """The Sharpe ratio of each report of a trial with narrower networks."""
    narrow = {name: value // NARROWER for name, value in params.items() if name.startswith("net_dims")}
    plan = Plan(parse_parameters({**params, **narrow}), seed, updates, reports, "quick", "cpu")
    told: list[Report] = []
    Trial(plan, data, lambda key: Checkpoints(None, key)).run(told.append, lambda: False)
    return [report.judgement.performance.sharpe_ratio for report in told]


def replayed(spec: Experiment, curves: Sequence[Sequence[float]], seed: int) -> tuple[float, float]:
    """Shares of the steps saved and of the best trials stopped, with the curves in another order."""
    drawn = random.Random(seed).sample(range(len(curves)), min(20, len(curves)))
    best = sorted(drawn, key=lambda i: -curves[i][-1])[:TOP]
    study = optuna.create_study(direction="maximize", pruner=build_pruner(spec))
    used, stopped = 0, set()
    for index in drawn:
        trial = study.ask()
        for step, value in enumerate(curves[index], 1):
            trial.report(value, step)
            used += 1
            if step < REPORTS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                stopped.add(index)
                break
        else:
            study.tell(trial, curves[index][-1])
    return 1 - used / (len(drawn) * REPORTS), len(stopped & set(best)) / TOP
