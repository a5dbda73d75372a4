"""Whether a re-test finds a better winner at the same cost, and what an end by ``regret`` saves and gives away.

On tables of real trainings, with high noise and with low. Searches are those of ``auto``, four trials at a time;
judged is the rank of a point among all by its mean over a table's seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.contenders import AT_A_TIME, ours
from benchmarks.measure import Row
from benchmarks.search_tasks import Ask
from benchmarks.tables import TABLES, Table
from kubetuna.experiment.automatic import FIRST_OUTLOOK, NOISE_SHARE, OUTLOOK_EVERY, retest_within
from kubetuna.experiment.model import Experiment
from kubetuna.search.gaussian.belief import choice_of, outlook_of
from kubetuna.search.gaussian.threads import one_thread
from kubetuna.trials.records import TrialRecord

SEARCHES, BUDGETS = 24, (60, 100)
# Of the runs of one re-test: so much of its luck is averaged away.
DRAWS = 6


@dataclass(frozen=True, slots=True)
class Race:
    """One search of a table."""

    noise: str
    table: str
    seed: int


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
        seen = np.log(table.excess(min(trials[:budget], key=_value).params))
        winners = [_winner(table, trials[:budget], budget, rng) for _ in range(DRAWS)]
        found[f"retest: auto over the best value seen, {budget} trials"] = float(np.log(winners).mean() - seen)
    ends = range(FIRST_OUTLOOK, len(trials), OUTLOOK_EVERY)
    end = next((n for n in ends if outlook_of(table.spec, trials[:n]).share < NOISE_SHARE), len(trials))
    stopped = min(trials[:end], key=_value)
    found["regret: auto, trials made of 100"] = end
    found["regret: auto over all 100 trials"] = float(np.log(table.excess(stopped.params)) - seen)
    return found


def _search(table: Table, seed: int, rng: np.random.Generator) -> Iterator[TrialRecord]:
    ask, open_ = ours(table.spec, seed), list[Ask]()
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
    return table.excess(made.params)


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
