"""What a search finds in so many trials, against what others search with where nobody chose.

Pairs: the same task and seed, four trials at a time, the one that began first ending first. Judged is the true
excess of the trial with the best seen value; on tables of trainings that is its rank. Beside it the processor time
of one proposal, without which a better one is no gain.
"""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import optuna
import torch
from optuna.samplers import RandomSampler

from benchmarks import contenders, tables
from benchmarks.contenders import AT_A_TIME, DEFAULT, KATIB, OURS, RANDOM, SLOW, Ask, asker, spec_of
from benchmarks.measure import Row, geometric_mean, say
from benchmarks.search_picture import Curves, draw
from benchmarks.search_tasks import FUNCTIONS, Function, Task
from kubetuna.search.gaussian import process
from kubetuna.search.gaussian.threads import one_thread
from kubetuna.search.samplers import Proposer
from kubetuna.search.space import distribution

BUDGETS = (20, 40, 50, 100)
SEEDS, QUICK_SEEDS = 20, 1
SLOW_TRIALS, SLOW_SEEDS = 20, 10
# Of each kind of table, spread over its tables.
SEARCHES = 48
# Of what a random point is worth: what is nearer to the best than this counts as found.
FOUND = 1e-4


@dataclass(frozen=True, slots=True)
class Race:
    """One contender on one task with one seed."""

    contender: str
    task: str
    seed: int
    trials: int
    at_a_time: int = AT_A_TIME


Found = Mapping[Race, Sequence[float]]
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
    races = _races(quick)
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        found = {}
        for race, excess in zip(races, pool.map(run_race, races), strict=True):
            found[race] = excess
            if race.seed == 0:
                say(f"  {race.task}: {race.contender}")
    if tables.installed() and not quick:
        draw(curves(found))
    return [*_costs(1 if quick else 7), *ratios(found)]


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


def task_of(name: str) -> Task:
    """A function or a table by its name."""
    return _FUNCTIONS[name] if name in _FUNCTIONS else tables.table(name)


def run_race(race: Race) -> list[float]:
    """The true excess of the best seen trial after each trial that ended."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    task, noise = task_of(race.task), np.random.default_rng((race.seed, *race.task.encode()))
    with one_thread():
        asked = asker(race.contender, task, race.seed, race.at_a_time)
        open_, best, excess = list[Ask](), float(np.inf), list[float]()
        for _ in range(race.trials):
            open_.append(asked())
            if len(open_) == race.at_a_time:
                best, excess = _end(task, open_.pop(0), noise, best, excess)
        while open_:
            best, excess = _end(task, open_.pop(0), noise, best, excess)
    return excess


def _end(
    task: Task, asked: Ask, noise: np.random.Generator, best: float, excess: list[float]
) -> tuple[float, list[float]]:
    params, tell = asked
    seen = task.seen(params, noise)
    tell(seen)
    return (seen, [*excess, task.excess(params)]) if seen < best else (best, [*excess, excess[-1]])


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
    by_task = {task: logs for task in tasks if (logs := _logs(found, name, task, budget))}
    if not by_task:
        return []
    title = f"{OURS} over {name} after {budget} trials, {group}"
    made = [_row(title, list(by_task.values()), name, budget)]
    each = by_task.items() if group == "functions" else ()
    return [*made, *(_row(f"… {task}", [logs]) for task, logs in each)]


def _row(title: str, groups: Sequence[Sequence[float]], name: str = "", budget: int = 0) -> Row:
    """A geometric mean of pairs with its interval, and the bar where there is one."""
    mean, low, high = geometric_mean(groups)
    pairs = sum(map(len, groups))
    won = sum(x < 0 for g in groups for x in g)
    note = f"95 % of resamples between {low:.2f} and {high:.2f}; {pairs} pairs, better in {won}"
    judged = judgement(name, budget, mean, low, high)
    return Row(title, mean, "x", note=f"{note}; {judged}" if judged else note)


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


def _logs(found: Found, name: str, task: str, budget: int) -> list[float]:
    """Logarithms of the ratios of one task, a pair each."""
    mine = {r.seed: e for r, e in found.items() if (r.contender, r.task) == (OURS, task)}
    pairs = [
        (mine[race.seed][budget - 1], excess[budget - 1])
        for race, excess in found.items()
        if (race.contender, race.task) == (name, task) and min(len(excess), len(mine[race.seed])) >= budget
    ]
    floor = floor_of(task_of(task)) if pairs else 0.0
    return [float(np.log(max(a, floor) / max(b, floor))) for a, b in pairs]


def floor_of(task: Task) -> float:
    """What counts as the best; a rank is never nothing."""
    if isinstance(task, tables.Table):
        return 0.0
    ask = contenders.theirs(spec_of(task, "random"), RandomSampler(seed=0))
    return FOUND * statistics.median(task.excess(ask()[0]) for _ in range(200))


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
