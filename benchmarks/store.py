"""The study store against Optuna's own storages, on one PostgreSQL and in memory."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import create_trial
from tests.postgres_server import PostgresServer

from benchmarks.measure import Row, medians, seconds
from kubetuna.store.engine import open_engine
from kubetuna.store.schema import ensure_schema
from kubetuna.store.storage import JournaledStorage

SPACE = {f"x{i}": FloatDistribution(0, 1) for i in range(5)}
STEPS = 10
_names = (f"study-{i}" for i in itertools.count())


def rows(quick: bool) -> list[Row]:
    """Cost per trial, and the time to take a study up again."""
    warnings.simplefilter("ignore")
    server = PostgresServer()
    try:
        url = server.url("postgres")
        ensure_schema(open_engine(url))
        return [*_per_trial(url, 60 if quick else 300, 20 if quick else 60), *_restart(url, 500 if quick else 5000)]
    finally:
        server.close()


def _per_trial(url: str, trials: int, few: int) -> list[Row]:
    found = medians(
        {
            "memory": lambda: _drive(InMemoryStorage(), "s", trials, _nothing) / trials,
            "kubetuna": lambda: _kubetuna(url, trials),
            "memory, few": lambda: _drive(InMemoryStorage(), "s", few, _nothing) / few,
            "kubetuna, few": lambda: _kubetuna(url, few),
            "optuna": lambda: _drive(RDBStorage(url), next(_names), few, _nothing) / few,
        },
        3,
    )
    memory, own = found["memory"], found["kubetuna"]
    note = f"TPE, median pruner, {STEPS} steps, {{}} trials, three flushes a trial"
    return [
        Row("store: trial in memory", memory[0] * 1e3, "ms", memory[1] * 1e3, note.format(trials)),
        Row("store: trial on PostgreSQL", own[0] * 1e3, "ms", own[1] * 1e3, note.format(trials)),
        Row("store: over memory", own[0] / memory[0], "x", note="the bar is 1.2x at 1,000 trials"),
        Row("store: Optuna's RDBStorage over ours", found["optuna"][0] / found["kubetuna, few"][0], "x",
            note=note.format(few)),
    ]  # fmt: skip


def _nothing() -> None:
    pass


def _kubetuna(url: str, trials: int) -> float:
    storage = JournaledStorage.open(open_engine(url), next(_names), [StudyDirection.MINIMIZE], writer="benchmark")
    return _drive(storage, "s", trials, storage.flush) / trials


def _drive(storage: BaseStorage, name: str, trials: int, flush: Callable[[], None]) -> float:
    sampler, pruner = optuna.samplers.TPESampler(seed=1), optuna.pruners.MedianPruner(n_startup_trials=5)
    if isinstance(storage, JournaledStorage):
        study = optuna.Study(storage.get_study_name_from_id(0), storage, sampler=sampler, pruner=pruner)
    else:
        study = optuna.create_study(storage=storage, study_name=name, sampler=sampler, pruner=pruner)
    return seconds(lambda: [_trial(study, flush) for _ in range(trials)])


def _trial(study: optuna.Study, flush: Callable[[], None]) -> None:
    trial = study.ask(SPACE)
    flush()
    value = sum((trial.params[name] - 0.3) ** 2 for name in SPACE)
    for step in range(STEPS):
        trial.report(value + 1 / (step + 1), step)
        trial.should_prune()
    flush()
    study.tell(trial, value)
    flush()


def _restart(url: str, trials: int) -> list[Row]:
    name = next(_names)
    storage = JournaledStorage.open(open_engine(url), name, [StudyDirection.MINIMIZE], writer="benchmark")
    for number in range(trials):
        params = {key: (number * 0.37 + i * 0.11) % 1 for i, key in enumerate(SPACE)}
        curve = {step: float(step) for step in range(STEPS)}
        made = create_trial(params=params, distributions=dict(SPACE), value=1.0, intermediate_values=curve)
        storage.create_new_trial(0, made)
    storage.flush()
    directions = [StudyDirection.MINIMIZE]
    found = medians(
        {
            "kubetuna": lambda: seconds(
                lambda: JournaledStorage.open(open_engine(url), name, directions, writer="again").get_all_trials(0)
            ),
            "optuna": lambda: seconds(lambda: optuna.load_study(study_name=name, storage=url).trials),
        },
        3,
    )
    note = f"{trials} trials of {STEPS} steps; the bar is 0.1x at 5,000"
    own, other = found["kubetuna"], found["optuna"]
    return [
        Row("store: taking a study up", own[0] * 1e3, "ms", own[1] * 1e3, note),
        Row("store: over optuna.load_study(…).trials", own[0] / other[0], "x", note=note),
    ]
