"""What a search finds in so many trials, against what others search with where nobody chose.

Pairs: the same task and seed, four trials at a time. Beside it the processor time of one proposal, without which a
better one is no gain, and shorter series of other kinds.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import optuna
from optuna.samplers import RandomSampler

from benchmarks import contenders, search_series, tables
from benchmarks.contenders import DEFAULT, KATIB, OURS, RANDOM, SLOW, spec_of
from benchmarks.kept import ran
from benchmarks.measure import Row, geometric_mean, say
from benchmarks.races import Found, Race, logs_of, ratio_row, run_race
from benchmarks.search_picture import Curves, draw
from benchmarks.search_tasks import FUNCTIONS, Function
from kubetuna.search.gaussian import process
from kubetuna.search.samplers import Proposer
from kubetuna.search.space import distribution

BUDGETS = (20, 40, 50, 100)
SEEDS, QUICK_SEEDS = 20, 1
SLOW_TRIALS, SLOW_SEEDS = 20, 10
# Of each kind of table, spread over its tables.
SEARCHES = 48
_FUNCTIONS = {task.name: task for task in FUNCTIONS}
GROUPS = {
    "functions": tuple(_FUNCTIONS),
    "tables, low noise": tuple(tables.TABLES["low"]),
    "tables, high noise": tuple(tables.TABLES["high"]),
}


class Bar(NamedTuple):
    """How many times better than a contender ours is to be."""

    times: float
    surely: bool = False


# After so many trials; anywhere else it must not be shown to be worse than Optuna's default.
BARS = {(DEFAULT, 20): Bar(1.5, surely=True), (KATIB, 40): Bar(3), (RANDOM, 100): Bar(10)}


def rows(quick: bool) -> list[Row]:
    """Every figure; a picture where there are tables."""
    found = ran(_races(quick), run_race)
    if tables.installed() and not quick:
        draw(curves(found))
    return [*_costs(1 if quick else 7), *ratios(found), *search_series.rows(quick)]


def _races(quick: bool) -> list[Race]:
    names, groups = contenders.contenders(), tuple(GROUPS) if tables.installed() else ("functions",)
    if KATIB not in names:
        say(f"  {contenders.MISSING}")
    if len(groups) == 1:
        say(f"  {tables.MISSING}")
    return [race for group in groups for name in names for race in races_of(group, name, quick)]


def races_of(group: str, contender: str, quick: bool) -> list[Race]:
    """One contender's races on the tasks of a group."""
    tasks = GROUPS[group]
    seeds = SEEDS if group == "functions" else SEARCHES // len(tasks)
    if quick:
        seeds, tasks = QUICK_SEEDS, tasks if group == "functions" else tasks[:1]
    if contender == SLOW:
        seeds = min(seeds, SLOW_SEEDS)
    trials = BUDGETS[0] if quick or contender == SLOW else BUDGETS[-1]
    able = [t for t in tasks if t not in _FUNCTIONS or contenders.can_search(contender, _FUNCTIONS[t])]
    return [Race(contender, task, seed, trials) for seed in range(seeds) for task in able]


def curves(found: Found) -> Curves:
    """How the rank on each kind of table falls with the trials, for each contender: mean and interval."""
    return {
        group: {name: _curve(found, tasks, name) for name in contenders.contenders()}
        for group, tasks in GROUPS.items()
        if group != "functions"
    }


def _curve(found: Found, tasks: Sequence[str], name: str) -> list[tuple[float, float, float]]:
    by_task = [[e for r, e in found.items() if (r.contender, r.task) == (name, task)] for task in tasks]
    runs = [np.log(excess) for excess in by_task if excess]
    return [geometric_mean([e[:, i].tolist() for e in runs]) for i in range(runs[0].shape[1])] if runs else []


def ratios(found: Found) -> list[Row]:
    """Ours over each other, after each budget: over all tasks of a group, then by task."""
    return [
        row
        for group, tasks in GROUPS.items()
        for name in contenders.contenders()
        if name != OURS
        for budget in BUDGETS
        for row in _ratios(found, group, tasks, name, budget)
    ]


def _ratios(found: Found, group: str, tasks: Sequence[str], name: str, budget: int) -> list[Row]:
    by_task = {task: logs for task in tasks if (logs := logs_of(found, name, task, budget))}
    if not by_task:
        return []
    title = f"{OURS} over {name} after {budget} trials, {group}"
    made = [ratio_row(title, list(by_task.values()), functools.partial(judgement, name, budget))]
    each = by_task.items() if group == "functions" else ()
    return [*made, *(ratio_row(f"… {task}", [logs]) for task, logs in each)]


def judgement(name: str, budget: int, mean: float, low: float, high: float) -> str:
    """Whether a bar is met, and by how much it is missed."""
    bar = BARS.get((name, budget))
    if bar is None and name != DEFAULT:
        return ""
    if bar is None:
        return "bar: not worse beyond noise: " + ("met" if low <= 1 else f"missed, at least {low:.2f}x as far away")
    text = f"bar: {bar.times:g}x better"
    if mean > 1 / bar.times:
        return f"{text}: missed, {1 / mean:.2f}x"
    return f"{text}: missed, the interval holds 1" if bar.surely and high >= 1 else f"{text}: met, {1 / mean:.2f}x"


def _costs(rounds: int) -> list[Row]:
    """Processor time of a proposal of the Gaussian process, nothing remembered of the one before."""
    made = []
    for trials, bar in ((50, 150), (200, 400)):
        seconds = [_cost(trials, seed) for seed in range(rounds + 1)][1:]
        spread = (max(seconds) - min(seconds)) / 2
        note = f"15 mixed parameters, one thread, processor time; bar: {bar} ms"
        made.append(Row(f"gp: a proposal after {trials} trials", 1000 * statistics.median(seconds), "ms",
                        1000 * spread, note))  # fmt: skip
    return made


def _cost(trials: int, seed: int) -> float:
    training = _FUNCTIONS["training"]
    more = tuple({**one, "name": f"{one['name']}2"} for one in training.parameters[:5])
    task = Function("cost", (*training.parameters, *more), training.excess)
    ask = contenders.theirs(spec_of(task, "random"), RandomSampler(seed=seed))
    study = optuna.create_study()
    spec = spec_of(task, "gp")
    space = {p.name: distribution(p) for p in spec.parameters}
    for _ in range(trials):
        params, _tell = ask()
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=task.excess(params)))
    study.ask()
    process._fitted.cache_clear()
    began = time.process_time()
    Proposer(spec, seed).propose(study, study.trials[-1], trials)
    return time.process_time() - began
