"""Run simulated worlds with one mutant after the other, each until a seed fails, and print which were caught.

A mutant runs in a process of its own, forked from one that has loaded the libraries and nothing of ours. Its
package is copied, and found there before the project's.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.sim.mutants.error_handling import MISTAKES
from tests.sim.mutants.fixes import FIXES
from tests.sim.mutants.mutant import PROJECT, Mutant

# Where `make test` begins too.
FIRST = 100
LIBRARIES = ("optuna", "sqlalchemy", "kubernetes.client", "kubernetes.config", "yaml", "prometheus_client")
# Of processor time a seed takes about one second, so one that takes so much never ends; nor one that waits so long.
MOST_WORK, MOST_SECONDS = 60.0, 1_800.0
WORDS = 110


class Endless(BaseException):
    """A seed did not end. No handler of errors may catch it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant: how many seeds it took, and what the last one said (nothing: it survived)."""

    mutant: Mutant
    seeds: int
    said: str
    seconds: float


def main() -> int:
    """Exit code 1 where a mutant survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name or file")
    parser.add_argument("--seeds", type=int, default=300, help="after so many without a failure it has survived")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    chosen = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    found = []
    for title, mutants in (("Faults brought back", FIXES), ("Mistakes", MISTAKES)):
        print(f"\n| {title} | seeds | what failed |\n|---|---|---|", flush=True)
        found += _run([m for m in mutants if _is_meant(m, chosen.words)], chosen.seeds, chosen.jobs)
    caught = sum(bool(result.said) for result in found)
    print(f"\n{caught} of {len(found)} caught, in {sum(result.seconds for result in found):.0f} s")
    return int(caught < len(found))


def _is_meant(mutant: Mutant, words: Sequence[str]) -> bool:
    return not words or any(word in mutant.what or word in mutant.file for word in words)


def _run(mutants: Sequence[Mutant], seeds: int, jobs: int) -> Iterable[Result]:
    found = []
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        for result in pool.imap(partial(attempt, seeds=seeds), mutants, chunksize=1):
            found.append(result)
            said = result.said.replace("|", "/")[:WORDS] or "**survived**"
            print(f"| {result.mutant.what} | {result.seeds} | {said} |", flush=True)
    return found


def attempt(mutant: Mutant, seeds: int) -> Result:
    """Run seeds with a mutant until one fails. For a process that does nothing else."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tree, room = Path(folder), mutant.file.partition("/")[0]
        shutil.copytree(PROJECT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        (tree / mutant.file).write_text(mutant.applied(tree), encoding="utf-8")
        sys.path.insert(0, str(tree / room))
        count, said = _first_failure(range(FIRST, FIRST + seeds))
    return Result(mutant, count, said, time.monotonic() - began)


def _first_failure(seeds: range) -> tuple[int, str]:
    for number in (signal.SIGVTALRM, signal.SIGALRM):
        signal.signal(number, _end)
    import logging

    logging.disable(logging.WARNING)
    for seed in seeds:
        _allow(MOST_WORK, MOST_SECONDS)
        said = _judged(seed)
        _allow(0.0, 0.0)
        if said:
            return seed - seeds.start + 1, said
    return len(seeds), ""


def _allow(work: float, seconds: float) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, work)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _judged(seed: int) -> str:
    """What is wrong with one seed's world; an error that leaves the world is wrong too."""
    try:
        from tests.sim.world import Profile, simulate

        return next(iter(simulate(seed, Profile()).wrong), "")
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
