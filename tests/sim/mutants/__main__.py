"""Run simulated worlds with one mutant after the other, each until a seed fails, and print which were caught.

The seeds are run with the product as it is first: which lines each of them runs tells which seeds a mutant needs;
those that run most of the product come first. A mutant is put into the functions that are loaded, in a process of
its own that was forked for it. With ``--results`` what is found is kept, and a later call goes on from there.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import optuna

from tests.sim import FIRST, SEEDS
from tests.sim.mutants.error_handling import MISTAKES
from tests.sim.mutants.fixes import FIXES
from tests.sim.mutants.mutant import PROJECT, Mutant
from tests.sim.mutants.reached import Lines, Reached

PAGE = PROJECT / "docs" / "explanation" / "mutants.md"
# After so much processor time a mutant has survived: those that were caught took a tenth of it.
PATIENCE = 150.0
# Of processor time a seed takes about one second, so one that takes so much never ends; nor one that waits so long.
MOST_WORK, MOST_SECONDS = 60.0, 1_800.0
WORDS = 110


class Endless(BaseException):
    """A seed did not end. No handler of errors may catch it."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Of the seeds with the product as it is: which failed, which lines they ran, what undisturbed trials reach."""

    failed: Sequence[int]
    reached: Reached
    undisturbed: dict[str, list[list[Any]]]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant, by its name: how many seeds run it, and how many of them were run with it.

    ``seed`` is the one that failed, and ``said`` what that said; it survived where nothing was.
    """

    what: str
    seeds: int
    tried: int
    seed: int
    said: str
    seconds: float

    def row(self) -> str:
        """As one of a table."""
        caught = str(self.seed) if self.said else f"none of {self.tried} of {self.seeds}"
        return _row(self.what, caught, self.said)


def _row(what: str, caught: str, said: str) -> str:
    return f"| {what} | {caught} | {said.replace('|', '/').replace(chr(10), ' ')[:WORDS]} |"


def main() -> int:
    """Exit code 1 where a mutant survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name or file")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="after so many without a failure it has survived")
    parser.add_argument("--seconds", type=float, default=PATIENCE, help="or after so much processor time")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--survey", type=Path, help="a file for the first run of all seeds; read where it is there")
    parser.add_argument("--results", type=Path, help="a file for what is found, and what is known already")
    parser.add_argument(
        "--page", action="store_true", help="run only the seeds that the page gives, and say which hold"
    )
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    if chosen.page:
        return _check_page(chosen.jobs)
    seeds = range(FIRST, FIRST + chosen.seeds)
    surveyed = _surveyed(seeds, chosen.survey)
    _settle(surveyed)
    for seed in surveyed.failed:
        print(f"seed {seed} fails without any mutant")
    found: list[Result] = []
    kept = Kept(chosen.results)
    with multiprocessing.get_context("fork").Pool(chosen.jobs, maxtasksperchild=1) as pool:
        judge = partial(attempt, seeds=seeds, surveyed=surveyed, patience=chosen.seconds)
        for title, mutants in (("Faults brought back", FIXES), ("Mistakes", MISTAKES)):
            print(f"\n| {title} | caught by seed | what failed |\n|---|---|---|", flush=True)
            meant = [mutant for mutant in mutants if _is_meant(mutant, chosen.words)]
            unknown = pool.imap(judge, [m for m in meant if m.what not in kept.known], chunksize=1)
            for mutant in meant:
                found.append(kept.known.get(mutant.what) or kept.add(next(unknown)))
                print(found[-1].row(), flush=True)
    caught = sum(bool(result.said) for result in found)
    print(f"\n{caught} of {len(found)} caught, in {sum(result.seconds for result in found):.0f} s")
    return int(caught < len(found))


def seeds_of_page() -> dict[str, int | None]:
    """Of each mutant that the page tells of, by its name, the seed that caught it."""
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = [row for row in rows if not row[1].startswith("caught by")]
    return {row[0].removeprefix("| "): int(row[1]) if row[1].isdecimal() else None for row in named}


def _check_page(jobs: int) -> int:
    """Exit code 1 where a seed holds that the page says catches a mutant."""
    caught = [(what, [seed]) for what, seed in seeds_of_page().items() if seed is not None]
    world = _world()
    from tests.sim.experiments import EVERY_SHAPE

    for shape in EVERY_SHAPE:
        world.undisturbed(shape)
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        found = pool.starmap(caught_by, caught, chunksize=1)
    for (what, seeds), said in zip(caught, found, strict=True):
        print(_row(what, str(seeds[0]) if said else f"{seeds[0]} holds", said))
    print(f"\n{sum(map(bool, found))} of {len(found)} are caught by the seed of the page")
    return int(not all(found))


class Kept:
    """What was found earlier and is found now, in a file where one is given."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file is not None and file.exists() else []
        self.known = {result.what: result for result in (Result(**json.loads(line)) for line in lines)}

    def add(self, result: Result) -> Result:
        """One more."""
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
        return result


def _is_meant(mutant: Mutant, words: Sequence[str]) -> bool:
    return not words or any(word in mutant.what or word in mutant.file for word in words)


def _surveyed(seeds: range, file: Path | None) -> Survey:
    if file is not None and file.exists():
        return Survey(**json.loads(file.read_text(encoding="utf-8")))
    surveyed = survey(seeds)
    # As it would be read from the file.
    text = json.dumps({name: getattr(surveyed, name) for name in Survey.__slots__})
    if file is not None:
        file.write_text(text, encoding="utf-8")
    return Survey(**json.loads(text))


def survey(seeds: Iterable[int]) -> Survey:
    """Run the seeds with the product as it is, of which nothing may be loaded before."""
    lines, failed = Lines({mutant.file for mutant in (*FIXES, *MISTAKES)}), []
    with lines.noted():
        world = _world()
        from tests.sim.experiments import EVERY_SHAPE

        # Of no seed.
        lines.begin(-1)
        known = {shape: world.undisturbed(shape).values() for shape in EVERY_SHAPE}
        for seed in seeds:
            lines.begin(seed)
            failed += [seed] if world.simulate(seed, world.Profile()).wrong else []
    trials = {str(s): [[t.number, t.state, t.value, dict(t.params)] for t in of] for s, of in known.items()}
    return Survey(failed, lines.found(), trials)


def _world() -> Any:
    from tests.sim import world

    return world


def _settle(surveyed: Survey) -> None:
    """Load all that a mutant changes, and take up what undisturbed trials reach: both are for every process."""
    world = _world()
    from tests.sim.stored import Trial

    known = {int(shape): {t[0]: Trial(*t) for t in trials} for shape, trials in surveyed.undisturbed.items()}
    world.undisturbed = known.__getitem__


def attempt(mutant: Mutant, seeds: range, surveyed: Survey, patience: float) -> Result:
    """Run seeds with a mutant until one fails. For a process that does nothing else."""
    began = time.process_time()
    put_in(mutant)
    meant = _meant(mutant, seeds, surveyed)
    tried, said = 0, ""
    for seed in meant:
        if said or time.process_time() > began + patience:
            break
        tried, said = tried + 1, _failure(seed)
    caught = meant[tried - 1] if said else 0
    return Result(mutant.what, len(meant), tried, caught, said, round(time.process_time() - began, 1))


def _meant(mutant: Mutant, seeds: range, surveyed: Survey) -> list[int]:
    """The seeds that run what the mutant changes, the eventful ones first."""
    runs = Counter(seed for lines in surveyed.reached.values() for ran in lines.values() for seed in ran)
    ran = {seed for line in mutant.lines() for seed in surveyed.reached[mutant.file].get(str(line), [])}
    meant = [seed for seed in seeds if str(seed) in ran and seed not in surveyed.failed]
    return sorted(meant, key=lambda seed: -runs[str(seed)])


def caught_by(what: str, seeds: Iterable[int]) -> str:
    """What the first seed says that fails with a mutant; nothing where none does. For a process of its own."""
    _world()
    (mutant,) = (one for one in (*FIXES, *MISTAKES) if one.what == what)
    put_in(mutant)
    return next(filter(None, map(_failure, seeds)), "")


def put_in(mutant: Mutant) -> None:
    """Give the functions that are loaded the code that they have in a mutant."""
    path = str(PROJECT / mutant.file)
    changed = mutant.functions()
    found = [f for f in gc.get_objects() if isinstance(f, FunctionType) and f.__code__.co_filename == path]
    for function in found:
        if (code := changed.pop(function.__qualname__, None)) is not None:
            function.__code__ = code
    if changed:
        raise ValueError(f"{mutant.what}: {', '.join(changed)} are not loaded")


def _failure(seed: int) -> str:
    world = _world()
    for number in (signal.SIGVTALRM, signal.SIGALRM):
        signal.signal(number, _end)
    _allow(MOST_WORK, MOST_SECONDS)
    said = _judged(lambda: world.simulate(seed, world.Profile()).wrong)
    _allow(0.0, 0.0)
    return said


def _allow(work: float, seconds: float) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, work)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _judged(judge: Callable[[], Sequence[str]]) -> str:
    """What is wrong with a world; an error that leaves it is wrong too."""
    try:
        return next(iter(judge()), "")
    except (Exception, Endless) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {where.name}: {error}"


def _end(*_: Any) -> None:
    raise Endless(f"no end within {MOST_WORK:.0f} s of work")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.sim.mutants", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
