"""Whether our driving takes anything from a sampler: each that we offer against Optuna's own ``study.optimize``.

Ours is the study that runs experiments; it seeds each proposal by its trial and tries no point twice. Optuna's is
one sampler object of the same class with the same settings. Where the interval of the ratio of what both find does
not hold 1, something is lost, or gained.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GridSampler

from benchmarks.contenders import spec_of
from benchmarks.kept import ran, seeds
from benchmarks.measure import Row, geometric_mean
from benchmarks.races import floor_of
from benchmarks.search_tasks import FUNCTIONS, GRIDDED, Task
from kubetuna.experiment.model import Algorithm, Experiment
from kubetuna.experiment.steps import values_of
from kubetuna.search.catalogue import SAMPLERS
from kubetuna.search.gaussian.threads import one_thread
from kubetuna.search.optuna_internals import suggest
from kubetuna.search.space import distribution, restored
from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from kubetuna.study.open import open_study
from kubetuna.study.study import Study
from kubetuna.trials.outcome import Classified, Outcome

TRIALS, SEEDS = 30, 10
NUMBERS, MIXED = ("branin", "mixed-integer"), ("branin", "mixed-integer", "training")
# Several generations of thirty trials.
_FEW = {"population_size": 6}


@dataclass(frozen=True, slots=True)
class Held:
    """A sampler, its settings, and the tasks that it can search."""

    name: str
    tasks: tuple[str, ...] = MIXED
    settings: Mapping[str, Any] = field(default_factory=dict)


HELD = (
    Held("random"),
    Held("tpe"),
    Held("gp"),
    Held("cmaes", NUMBERS),
    Held("nsgaii", settings=_FEW),
    Held("nsgaiii", settings=_FEW),
    Held("qmc", NUMBERS),
    Held("grid", (GRIDDED.name,)),
    Held("bruteforce", (GRIDDED.name,)),
)


def rows(quick: bool) -> list[Row]:
    """The ratio of each."""
    return compared(
        ran(
            [
                (held.name, task, seed)
                for held in HELD
                for task in held.tasks[: 1 if quick else None]
                for seed in range(1 if quick else seeds(SEEDS))
            ],
            both,
        )
    )


def compared(found: Mapping[tuple[str, str, int], float]) -> list[Row]:
    """A row a sampler, from logarithms of ratios."""
    made = []
    for held in HELD:
        by_task = ([log for key, log in found.items() if key[:2] == (held.name, task)] for task in held.tasks)
        groups = [logs for logs in by_task if logs]
        mean, low, high = geometric_mean(groups)
        said = "equal within noise" if low <= 1 <= high else "not equal"
        note = f"95 % of resamples between {low:.2f} and {high:.2f}; {sum(map(len, groups))} pairs: {said}"
        made.append(Row(f"{held.name}: our driving over Optuna's, {TRIALS} trials", mean, "x", note=note))
    return made


def both(job: tuple[str, str, int]) -> float:
    """The logarithm of what ours finds over what Optuna's finds."""
    sampler, name, seed = job
    held = next(held for held in HELD if held.name == sampler)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    task = next(task for task in (*FUNCTIONS, GRIDDED) if task.name == name)
    least = floor_of(task)
    with one_thread():
        ours, theirs = _ours(held, task, seed), _theirs(held, task, seed)
    return float(np.log(max(ours, least) / max(theirs, least)))


def _ours(held: Held, task: Task, seed: int) -> float:
    spec = spec_of(task, held.name, TRIALS)
    spec = replace(spec, algorithm=Algorithm(held.name, held.settings, seed))
    study, best = _study(spec, seed), np.inf
    for number in range(TRIALS):
        study.ask(number)
        value = task.excess(study.open[number].params)
        study.tell(number, Classified(Outcome.SUCCEEDED, ""), {"loss": value})
        best = min(best, value)
    return float(best)


def _study(spec: Experiment, seed: int) -> Study:
    """In a file that nothing is written to later, since it is never flushed."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{folder}/study.db")
        ensure_schema(engine)
        return open_study(engine, spec, spec.name, "me", 0.0, lambda: seed).study


def _theirs(held: Held, task: Task, seed: int) -> float:
    spec = spec_of(task, held.name, TRIALS)

    def objective(trial: optuna.Trial) -> float:
        return task.excess({p.name: restored(suggest(trial, p.name, distribution(p))) for p in spec.parameters})

    study = optuna.create_study(sampler=_sampler(held, seed, {p.name: values_of(p) for p in spec.parameters}))
    study.optimize(objective, TRIALS)
    return study.best_value


def _sampler(held: Held, seed: int, values: Mapping[str, Any]) -> BaseSampler:
    if held.name == "grid":
        return GridSampler({name: list(some) for name, some in values.items()}, seed=seed)
    make: Callable[..., BaseSampler] = SAMPLERS[held.name].target
    return make(seed=seed, **held.settings)
