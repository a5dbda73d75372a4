"""What a search finds in so many trials, against random points, Optuna's default and Optuna's Gaussian process.

Pairs: the same task and seed, four trials at a time, the one that began first ending first. Judged is the true
value of the trial with the best seen value. Beside it the processor time of one proposal, without which a better
one is no gain.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import torch
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from benchmarks.measure import Row, say
from benchmarks.search_tasks import TASKS, Task
from kubetuna.experiment.model import Experiment
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.gaussian import process
from kubetuna.search.gaussian.threads import one_thread
from kubetuna.search.optuna_internals import suggest
from kubetuna.search.samplers import Proposer
from kubetuna.search.space import distribution, exists, identity, ordered, restored

AT_A_TIME = 4
BUDGETS = (20, 50, 100)
SEEDS, QUICK_SEEDS = 20, 1
RESAMPLES = 2000
# Of what a random point is worth: what is nearer to the best than this counts as found.
FOUND = 1e-4
OURS, DEFAULT = "kubetuna auto", "Optuna's TPE"
# Optuna's process takes some seconds a trial, so it gets fewer trials and seeds.
SLOW, SLOW_TRIALS, SLOW_SEEDS = "Optuna's GPSampler", 20, 10

OTHERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    DEFAULT: lambda seed: TPESampler(seed=seed),
    SLOW: lambda seed: GPSampler(seed=seed),
}
CONTENDERS = (OURS, *OTHERS)


Ask = tuple[dict[str, Any], Callable[[float], object]]


@dataclass(frozen=True, slots=True)
class Race:
    """One contender on one task with one seed."""

    contender: str
    task: int
    seed: int
    trials: int


def rows(quick: bool) -> list[Row]:
    """Every figure."""
    races = _races(quick)
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        found = {}
        for race, excess in zip(races, pool.map(run_race, races), strict=True):
            found[race] = excess
            if race.seed == 0:
                say(f"  {TASKS[race.task].name}: {race.contender}")
    budgets = BUDGETS[:1] if quick else BUDGETS
    ratios = [row for budget in budgets for name in CONTENDERS for row in _ratios(found, name, budget)]
    return [*_costs(1 if quick else 7), *ratios]


def _races(quick: bool) -> list[Race]:
    most = BUDGETS[0] if quick else BUDGETS[-1]
    made = []
    for task in range(len(TASKS)):
        for name in CONTENDERS:
            slow = name == SLOW
            seeds = QUICK_SEEDS if quick else SLOW_SEEDS if slow else SEEDS
            made += [Race(name, task, seed, min(most, SLOW_TRIALS) if slow else most) for seed in range(seeds)]
    return made


def run_race(race: Race) -> list[float]:
    """The true excess of the best seen trial after each trial that ended."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    task = TASKS[race.task]
    noise = np.random.default_rng((race.seed, race.task))
    with one_thread():
        asked = _asker(race, task)
        open_, best, excess = list[Ask](), float(np.inf), list[float]()
        for _ in range(race.trials):
            open_.append(asked())
            if len(open_) == AT_A_TIME:
                best, excess = _end(task, open_.pop(0), noise, best, excess)
        while open_:
            best, excess = _end(task, open_.pop(0), noise, best, excess)
    return excess


def _end(
    task: Task, asked: Ask, noise: np.random.Generator, best: float, excess: list[float]
) -> tuple[float, list[float]]:
    params, tell = asked
    true = task.excess(params)
    seen = true + task.noise * float(noise.normal())
    tell(seen)
    return (seen, [*excess, true]) if seen < best else (best, [*excess, excess[-1]])


def _asker(race: Race, task: Task) -> Callable[[], Ask]:
    spec = _spec(task, "auto")
    if race.contender in OTHERS:
        return _theirs(spec, OTHERS[race.contender](race.seed))
    return _ours(spec, race.seed)


def _spec(task: Task, algorithm: str) -> Experiment:
    container = {"name": "trial", "image": "none", "command": ["true"]}
    document = {
        "apiVersion": "kubetuna.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": "search"},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": "loss"},
            "algorithm": {"algorithmName": algorithm},
            "parameters": list(task.parameters),
            "maxTrialCount": BUDGETS[-1],
            "trialTemplate": {
                "trialSpec": {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}
            },
        },
    }
    return parse_file_text(json.dumps(document))


def _ours(spec: Experiment, seed: int) -> Callable[[], Ask]:
    study, proposer, tried = optuna.create_study(), Proposer(spec, seed), set[str]()
    space = {p.name: distribution(p) for p in spec.parameters}

    def ask() -> Ask:
        number = study.ask().number
        frozen = study.get_trials(deepcopy=False)[number]
        params = proposer.propose(study, frozen, number, tried)
        tried.add(identity(spec.parameters, params))
        trial = optuna.Trial(study, number)
        study.sampler = optuna.samplers.PartialFixedSampler(params, RandomSampler())
        for name, value in params.items():
            assert suggest(trial, name, space[name]) == value
        return params, lambda value: study.tell(number, value)

    return ask


def _theirs(spec: Experiment, sampler: BaseSampler) -> Callable[[], Ask]:
    study, parameters = optuna.create_study(sampler=sampler), ordered(spec)

    def ask() -> Ask:
        trial, params = study.ask(), dict[str, Any]()
        for parameter in parameters:
            if exists(parameter, params):
                params[parameter.name] = restored(suggest(trial, parameter.name, distribution(parameter)))
        return params, lambda value: study.tell(trial, value)

    return ask


def _ratios(found: dict[Race, list[float]], name: str, budget: int) -> list[Row]:
    """Excess over that of Optuna's default, geometric means of pairs, with intervals; in all and by task."""
    by_task = [_logs(found, name, task, budget) for task in range(len(TASKS))]
    if name == DEFAULT or not any(len(logs) for logs in by_task):
        return []
    title = f"{name} over {DEFAULT} after {budget} trials"
    made = [_row(title, by_task)]
    return [*made, *(_row(f"… {TASKS[i].name}", [logs]) for i, logs in enumerate(by_task))]


def _row(title: str, groups: Sequence[Sequence[float]]) -> Row:
    mean = float(np.exp(np.mean([np.mean(g) for g in groups])))
    draw = np.random.default_rng(0)
    drawn = [np.array(g)[draw.integers(len(g), size=(RESAMPLES, len(g)))].mean(axis=1) for g in groups]
    low, high = np.exp(np.quantile(np.mean(drawn, axis=0), (0.025, 0.975)))
    pairs = sum(map(len, groups))
    won = sum(x < 0 for g in groups for x in g)
    note = f"95 % of resamples between {low:.2f} and {high:.2f}; {pairs} pairs, better in {won}"
    return Row(title, mean, "x", note=note)


def _logs(found: dict[Race, list[float]], name: str, task: int, budget: int) -> list[float]:
    """Logarithms of the ratios of one task, a pair each."""
    theirs = {r.seed: e for r, e in found.items() if (r.contender, r.task) == (DEFAULT, task)}
    floor = FOUND * _random_worth(TASKS[task])
    return [
        float(np.log(max(excess[budget - 1], floor) / max(theirs[race.seed][budget - 1], floor)))
        for race, excess in found.items()
        if (race.contender, race.task) == (name, task) and race.trials >= budget
    ]


def _random_worth(task: Task) -> float:
    ask = _theirs(_spec(task, "random"), RandomSampler(seed=0))
    return statistics.median(task.excess(ask()[0]) for _ in range(200))


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
    training = next(task for task in TASKS if task.name == "training")
    more = tuple({**one, "name": f"{one['name']}2"} for one in training.parameters[:5])
    task = Task("cost", (*training.parameters, *more), training.excess)
    ask = _theirs(_spec(task, "random"), RandomSampler(seed=seed))
    study = optuna.create_study()
    spec = _spec(task, "gp")
    space = {p.name: distribution(p) for p in spec.parameters}
    for _ in range(trials):
        params, _tell = ask()
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=task.excess(params)))
    study.ask()
    process._fitted.cache_clear()
    began = time.process_time()
    Proposer(spec, seed).propose(study, study.trials[-1], trials)
    return time.process_time() - began
