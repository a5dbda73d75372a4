"""One contender on one task with one seed, and what two of them found in pairs.

The trial that began first ends first. Judged is the true excess of the trial with the best seen value; on tables of
trainings that is its rank.
"""

from __future__ import annotations

import functools
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
import torch
from optuna.samplers import RandomSampler

from benchmarks import search_integers, tables
from benchmarks.contenders import AT_A_TIME, OURS, asker, spec_of, theirs
from benchmarks.measure import Row, geometric_mean
from benchmarks.search_fronts import FRONTED, Fronted
from benchmarks.search_limits import LIMITED, Limited
from benchmarks.search_tasks import FUNCTIONS, Ask, Task
from kubetuna.search.gaussian.threads import one_thread

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
Raced = Task | Limited | Fronted
_BY_NAME: Mapping[str, Raced] = {task.name: task for task in (*FUNCTIONS, *LIMITED, *FRONTED)}


def task_of(name: str, seed: int = 0) -> Raced:
    """A function or a table by its name; of ``bbob-mixint`` each seed has an instance of its own."""
    if name in search_integers.NAMES:
        return search_integers.function(name, seed + 1)
    return _BY_NAME[name] if name in _BY_NAME else tables.table(name)


def run_race(race: Race) -> list[float]:
    """The true excess of the best trial after each that ended."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    task, noise = task_of(race.task, race.seed), np.random.default_rng((race.seed, *race.task.encode()))
    with one_thread():
        several = task.objectives if isinstance(task, Fronted) else 1
        runs = ended(race, asker(race.contender, task, race.seed, race.at_a_time, several))
        return task.followed(runs) if isinstance(task, Limited | Fronted) else _followed(task, runs, noise)


def ended(race: Race, asked: Callable[[], Ask]) -> Iterator[Ask]:
    """Each trial once it ends, so many at a time."""
    open_ = list[Ask]()
    for _ in range(race.trials):
        open_.append(asked())
        if len(open_) == race.at_a_time:
            yield open_.pop(0)
    yield from open_


def _followed(task: Task, runs: Iterable[Ask], noise: np.random.Generator) -> list[float]:
    """The excess of the trial with the best seen value."""
    best, excess = float(np.inf), list[float]()
    for params, tell in runs:
        seen = task.seen(params, noise)
        tell(seen)
        excess.append(task.excess(params) if seen < best else excess[-1])
        best = min(best, seen)
    return excess


def logs_of(found: Found, name: str, task: str, budget: int) -> list[float]:
    """Logarithms of ours over another's after so many trials of a task, a pair each."""
    mine = {r.seed: e for r, e in found.items() if (r.contender, r.task) == (OURS, task)}
    pairs = [
        (mine[race.seed][budget - 1], excess[budget - 1], _floor(task, race.seed))
        for race, excess in found.items()
        if (race.contender, race.task) == (name, task) and min(len(excess), len(mine[race.seed])) >= budget
    ]
    return [float(np.log(max(a, floor) / max(b, floor))) for a, b, floor in pairs]


def ratio_row(title: str, groups: Sequence[Sequence[float]], judged: Callable[..., str] = lambda *_: "") -> Row:
    """A geometric mean of pairs with its interval, and what is to be said of these three."""
    mean, low, high = geometric_mean(groups)
    pairs = sum(map(len, groups))
    won = sum(x < 0 for g in groups for x in g)
    note = f"95 % of resamples between {low:.2f} and {high:.2f}; {pairs} pairs, better in {won}"
    said = judged(mean, low, high)
    return Row(title, mean, "x", note=f"{note}; {said}" if said else note)


@functools.cache
def _floor(name: str, seed: int) -> float:
    return floor_of(task_of(name, seed))


def floor_of(task: Raced) -> float:
    """What counts as the best; a rank is never nothing."""
    if isinstance(task, Fronted):
        return FOUND
    if isinstance(task, tables.Table):
        return 0.0
    ask = theirs(spec_of(task, "random"), RandomSampler(seed=0))
    return FOUND * statistics.median(task.excess(ask()[0]) for _ in range(200))
