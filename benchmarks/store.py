"""The study store against Optuna's own storages, on one PostgreSQL that syncs its disk, and in memory."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import partial

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import create_trial
from tests.postgres_server import PostgresServer

from benchmarks.measure import Row, medians, seconds, times
from benchmarks.trips import counted
from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from kubetuna.store.storage import JournaledStorage

SPACE: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(0, 1) for i in range(5)}
STEPS = 10
# Trials that are open together share their transactions, as those of one turn of the engine do.
TOGETHER = (1, 10, 100)
_names = (f"study-{i}" for i in itertools.count())


def rows(quick: bool) -> list[Row]:
    """Cost per trial, round trips of admission, and the time to take a study up again."""
    warnings.simplefilter("ignore")
    server = PostgresServer(durable=True)
    try:
        ensure_schema(open_engine(server.url("postgres")))
        finished, stored = (60, 500) if quick else (1000, 5000)
        return [*_per_trial(server, finished), *_admission(server), *_restart(server.url("postgres"), stored)]
    finally:
        server.close()


def _per_trial(server: PostgresServer, finished: int) -> list[Row]:
    """What the next hundred trials cost after ``finished`` ones."""
    url, few = server.url("postgres"), 10
    contenders: dict[str, Callable[[], float]] = {"memory": partial(_in_memory, finished, 1)}
    for together in TOGETHER:
        contenders[f"{together} at once"] = partial(_kubetuna, url, finished, together)
        contenders[f"memory, {together} at once"] = partial(_in_memory, finished, together)
    contenders["optuna"] = lambda: _next_trials(RDBStorage(url), finished, few, 1, _nothing)
    found = medians(contenders, 3)
    note = f"TPE, median pruner, {STEPS} steps, after {finished} trials"
    made = [Row("store: trial in memory", found["memory"][0] * 1e3, "ms", found["memory"][1] * 1e3, note)]
    for together in TOGETHER:
        own, memory = found[f"{together} at once"], found[f"memory, {together} at once"]
        made += [
            Row(f"store: trial on PostgreSQL, {together} at once", own[0] * 1e3, "ms", own[1] * 1e3, note),
            Row(f"store: over memory, {together} at once", own[0] / memory[0], "x", note="the bar is 1.2x"),
        ]
    over = found["optuna"][0] / found["1 at once"][0]
    return [*made, Row("store: Optuna's RDBStorage over ours, 1 at once", over, "x", note=note)]


def _nothing() -> None:
    pass


def _opened(url: str) -> JournaledStorage:
    return JournaledStorage.open(open_engine(url), next(_names), [StudyDirection.MINIMIZE], writer="benchmark")


def _kubetuna(url: str, finished: int, together: int) -> float:
    storage = _opened(url)
    return _next_trials(storage, finished, 100, together, storage.flush)


def _in_memory(finished: int, together: int) -> float:
    return _next_trials(InMemoryStorage(), finished, 100, together, _nothing)


def _next_trials(
    storage: BaseStorage, finished: int, trials: int, together: int, flush: Callable[[], None]
) -> float:
    """Seconds per trial."""
    study = _study(storage)
    for number in range(finished):
        study.add_trial(_ended(number))
    flush()
    study.ask(SPACE)
    rounds = trials // together
    return seconds(times(rounds, lambda: _turn(study, together, flush))) / (rounds * together)


def _study(storage: BaseStorage) -> optuna.Study:
    sampler, pruner = optuna.samplers.TPESampler(seed=1), optuna.pruners.MedianPruner(n_startup_trials=5)
    if isinstance(storage, JournaledStorage):
        return optuna.Study(storage.get_study_name_from_id(0), storage, sampler=sampler, pruner=pruner)
    return optuna.create_study(storage=storage, study_name=next(_names), sampler=sampler, pruner=pruner)


def _ended(number: int) -> optuna.trial.FrozenTrial:
    params = {key: (number * 0.37 + i * 0.11) % 1 for i, key in enumerate(SPACE)}
    value = _value(params)
    curve = {step: value + 1 / (step + 1) for step in range(STEPS)}
    return create_trial(params=params, distributions=dict(SPACE), value=value, intermediate_values=curve)


def _value(params: dict[str, float]) -> float:
    return sum((params[name] - 0.3) ** 2 for name in SPACE)


def _turn(study: optuna.Study, together: int, flush: Callable[[], None]) -> None:
    trials = [study.ask(SPACE) for _ in range(together)]
    flush()
    for trial in trials:
        for step in range(STEPS):
            trial.report(_value(trial.params) + 1 / (step + 1), step)
            trial.should_prune()
    flush()
    for trial in trials:
        study.tell(trial, _value(trial.params))
    flush()


def _admission(server: PostgresServer) -> list[Row]:
    """Round trips of making a hundred new trials durable, on a connection that is open already."""
    with counted(server.port) as trips:
        storage = _opened(server.url("postgres").replace(f":{server.port}/", f":{trips.port}/"))
        study = _study(storage)
        _turn(study, 1, storage.flush)
        for _ in range(100):
            study.ask(SPACE)
        before = trips.count
        took = seconds(storage.flush)
    return [
        Row("store: round trips to admit 100 trials", trips.count - before, "", note="the bar is 6"),
        Row("store: time to admit one of them", took * 10, "ms", note="100 in one transaction"),
    ]


def _restart(url: str, trials: int) -> list[Row]:
    name = next(_names)
    storage = JournaledStorage.open(open_engine(url), name, [StudyDirection.MINIMIZE], writer="benchmark")
    for number in range(trials):
        storage.create_new_trial(0, _ended(number))
    storage.flush()
    directions = [StudyDirection.MINIMIZE]
    found = medians(
        {
            "kubetuna": lambda: seconds(
                lambda: JournaledStorage.open(open_engine(url), name, directions, writer="again")
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
