"""The default search on the shipped trainings: Task 1 at a small size and Task 2 as it is, on planted data.

A trial is trained with a seed of its own, and a search is judged by the best value that it has seen. The seeds are
few, as each is twenty trainings.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml
from scipy.stats import ttest_1samp

from benchmarks import news_tuning, pruning
from benchmarks.contenders import DEFAULT, OURS, RANDOM, asker
from benchmarks.kept import ran, seeds
from benchmarks.measure import Row
from benchmarks.races import Found, Race, ended
from benchmarks.search_tasks import Params
from kubetuna_trial.task1.data import Dataset, planted_dataset
from kubetuna_trial.task1.planted import SNR
from kubetuna_trial.task2.data import Market, planted_market

TRIALS, SEEDS, BUDGETS = 20, 4, (10, 20)
ROWS, UPDATES, SMALL_UPDATES, DATA_SEED = 20_000, 200, 5, 7


@functools.cache
def _prices() -> Dataset:
    return planted_dataset(ROWS, DATA_SEED, SNR)


@functools.cache
def _news() -> Market:
    return planted_market(DATA_SEED)


@dataclass(frozen=True, slots=True)
class Training:
    """An example's space; ``value`` of a point and a seed in its ``unit``, more is better."""

    name: str
    parameters: tuple[dict[str, Any], ...]
    value: Callable[[Params, int], float]
    unit: str


def _parameters(example: Path) -> tuple[dict[str, Any], ...]:
    return tuple(yaml.safe_load(example.read_text())["spec"]["parameters"])


def _sharpe_ratio(updates: int, params: Params, seed: int) -> float:
    return pruning.trained(_prices(), params, seed, updates, 1)[-1]


def _return(small: bool, params: Params, seed: int) -> float:
    more = news_tuning.SMALL if small else {}
    return news_tuning.last(_news(), {**params, **more}, seed)


def trainings(quick: bool) -> list[Training]:
    """Both tasks."""
    updates = SMALL_UPDATES if quick else UPDATES
    return [
        Training("Task 1", _parameters(pruning.EXAMPLE), functools.partial(_sharpe_ratio, updates), "Sharpe ratio"),
        Training("Task 2", _parameters(news_tuning.EXAMPLE), functools.partial(_return, quick), "return"),
    ]


def rows(quick: bool) -> list[Row]:
    """What the best is worth after each budget, and ours over each other with the same seed."""
    trials, count = (2, 2) if quick else (TRIALS, seeds(SEEDS))
    races = [
        Race(contender, task.name, seed, trials)
        for seed in range(count)
        for task in trainings(quick)
        for contender in (OURS, DEFAULT, RANDOM)
    ]
    found = ran(races, functools.partial(_searched, quick))
    budgets = (trials,) if quick else BUDGETS
    return [row for task in trainings(quick) for budget in budgets for row in _compared(task, found, budget)]


def _searched(quick: bool, race: Race) -> list[float]:
    """The best value seen after each trial that ended."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    task = next(one for one in trainings(quick) if one.name == race.task)
    best = list[float]()
    for number, (params, tell) in enumerate(ended(race, asker(race.contender, task, race.seed, race.at_a_time))):
        value = task.value(params, number)
        tell(-value)
        best.append(max([value, *best[-1:]]))
    return best


def _compared(task: Training, found: Found, budget: int) -> list[Row]:
    best = {
        name: [one[budget - 1] for race, one in found.items() if (race.contender, race.task) == (name, task.name)]
        for name in (OURS, DEFAULT, RANDOM)
    }
    made = [
        Row(f"{task.name}: {name}, best of {budget} trials", statistics.mean(values), task.unit,
            statistics.stdev(values), f"{len(values)} seeds; ± is the standard deviation")
        for name, values in best.items()
    ]  # fmt: skip
    return [*made, *(_ahead(task, budget, best[OURS], name, best[name]) for name in (DEFAULT, RANDOM))]


def _ahead(task: Training, budget: int, ours: Sequence[float], name: str, theirs: Sequence[float]) -> Row:
    """Of pairs with the same seed."""
    ahead = [one - other for one, other in zip(ours, theirs, strict=True)]
    between = ttest_1samp(ahead, 0.0).confidence_interval()
    note = f"95 %: {between.low:.2f} to {between.high:.2f}; {len(ahead)} pairs"
    return Row(
        f"{task.name}: {OURS} over {name} after {budget} trials", statistics.mean(ahead), task.unit, note=note
    )
