"""Shorter series of races beside the main ones: one and ten at a time, 200 trials, whole numbers, limits that only
a trial shows, and several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import search_integers, tables
from benchmarks.contenders import AT_A_TIME, DEFAULT, GENETIC, OURS, RANDOM
from benchmarks.kept import ran, seeds
from benchmarks.measure import Row, say
from benchmarks.races import Found, Race, logs_of, ratio_row, run_race
from benchmarks.search_fronts import FRONTED
from benchmarks.search_limits import LIMITED

# Pairs of a task of which resamples are drawn; of fewer, those of all tasks are one heap.
FEWEST = 4


@dataclass(frozen=True, slots=True)
class Series:
    """Ours against each of ``others``, at each budget. ``each``: a row a task too."""

    title: str
    tasks: Sequence[str]
    seeds: int
    budgets: tuple[int, ...] = (20, 50)
    others: tuple[str, ...] = (DEFAULT, RANDOM)
    at_a_time: int = AT_A_TIME
    each: bool = False

    def races(self, quick: bool) -> list[Race]:
        """The oldest seed of every task first."""
        tasks, trials = (self.tasks[:1], self.budgets[0]) if quick else (self.tasks, self.budgets[-1])
        return [
            Race(contender, task, seed, trials, self.at_a_time)
            for seed in range(1 if quick else seeds(self.seeds))
            for task in tasks
            for contender in (OURS, *self.others)
        ]


_SMOOTH = ("branin", "hartmann6", "mixed-integer", "training")
_ON_TABLES = tuple(
    Series(f"{title}, {noise} noise", tables.TABLES[noise], count, budgets, at_a_time=at_a_time)
    for noise, count in (("low", 2), ("high", 1))
    for title, budgets, at_a_time in (
        ("one at a time", (20, 50), 1),
        ("ten at a time", (20, 50), 10),
        ("to 200", (100, 200), AT_A_TIME),
    )
)
_INTEGERS = Series("bbob-mixint", search_integers.NAMES, 1)
_ANYWHERE = (
    Series("one at a time, functions", _SMOOTH, 4, at_a_time=1),
    Series("ten at a time, functions", _SMOOTH, 4, at_a_time=10),
    Series("to 200, functions", _SMOOTH, 3, (100, 200)),
    Series("with limits", [task.name for task in LIMITED], 6, each=True),
    *(
        Series(
            f"{word} objectives",
            [task.name for task in FRONTED if task.objectives == number],
            6,
            others=(DEFAULT, GENETIC, RANDOM),
            each=True,
        )
        for number, word in ((2, "two"), (3, "three"))
    ),
)


def series() -> list[Series]:
    """All whose tasks are there."""
    if not search_integers.installed():
        say(f"  {search_integers.MISSING}")
    on_tables = _ON_TABLES if tables.installed() else ()
    return [*_ANYWHERE, *on_tables, *([_INTEGERS] if search_integers.installed() else [])]


def rows(quick: bool) -> list[Row]:
    """Every figure."""
    all_ = [(one, one.races(quick)) for one in series()]
    found = ran([race for _, races in all_ for race in races], run_race)
    return [row for one, races in all_ for row in compared(one, {race: found[race] for race in races})]


def compared(one: Series, found: Found) -> list[Row]:
    """Ours over each other, after each budget: over all tasks, then by task."""
    made = []
    for name in one.others:
        for budget in one.budgets:
            by_task = {task: logs for task in one.tasks if (logs := logs_of(found, name, task, budget))}
            if not by_task:
                continue
            # A few pairs a task tell little of how one task varies, only of how tasks do.
            few = min(map(len, by_task.values())) < FEWEST
            groups = [[log for logs in by_task.values() for log in logs]] if few else list(by_task.values())
            made.append(ratio_row(f"{OURS} over {name} after {budget} trials, {one.title}", groups))
            made += [ratio_row(f"… {task}", [logs]) for task, logs in by_task.items() if one.each]
    return made
