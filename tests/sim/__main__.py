"""``make sim``: seed after seed until stopped; ``make sim SEED=N``: one of them, told line by line."""

from __future__ import annotations

import argparse
import functools
import gc
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import optuna

from tests.sim.experiments import EVERY_SHAPE
from tests.sim.postgres import served
from tests.sim.story import shorten, tell
from tests.sim.world import UNDISTURBED, Profile, Verdict, simulate, undisturbed

# Seeds of which a few processes are given at once.
PART = 2_000
USUAL = Profile()


@dataclass
class Totals:
    """What a run of many seeds adds up to."""

    seeds: int = 0
    failed: int = 0
    faults: int = 0
    simulated: float = 0.0

    def add(self, verdict: Verdict) -> None:
        """One more."""
        self.seeds += 1
        self.failed += bool(verdict.wrong)
        self.faults += len(verdict.met) + len(verdict.deeds)
        self.simulated += verdict.seconds

    def said(self, seconds: float) -> str:
        """As people read it, after so many seconds."""
        return (
            f"{self.seeds} seeds, {self.failed} failed, {self.faults} faults, {self.simulated / 3600:.1f} hours "
            f"simulated; {self.seeds / seconds * 60:.0f} seeds a minute, {self.faults / seconds:.0f} faults a "
            f"second, {self.simulated / seconds:.0f} times real time"
        )


def main() -> int:
    """Exit code 1 where an oracle did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description="Run the operator in simulated worlds."
    )
    parser.add_argument("--seed", type=int, help="replay this one and print its trace")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, help="how many; else until stopped")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="seeds at a time")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite", help="what keeps studies")
    parser.add_argument("--rate", type=_share, default=USUAL.rate, help="the share of moments that go wrong")
    parser.add_argument(
        "--deeds", type=_at_least(0), default=USUAL.deeds, help="what people and machines do, at least"
    )
    parser.add_argument(
        "--operators", type=_at_least(1), default=USUAL.operators, help="how many there are at once"
    )
    parser.add_argument("--keep-going", action="store_true", help="after a seed that fails go on with the next")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    settle()
    with served() if chosen.database == "postgres" else nullcontext("") as postgres:
        profile = Profile(chosen.rate, chosen.deeds, chosen.operators, postgres)
        if chosen.seed is not None:
            return _replay(chosen.seed, profile)
        end = sys.maxsize if chosen.seeds is None else chosen.first + chosen.seeds
        return _run(range(chosen.first, end), chosen.jobs, profile, chosen.keep_going)


def _share(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 0 to 1")
    return value


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{text}: {least} or more")
        return value

    return number


def settle() -> None:
    """What was imported stays: to look through it for garbage again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def _replay(seed: int, profile: Profile) -> int:
    verdict = simulate(seed, profile)
    print("\n".join(verdict.trace))
    print(f"seed {seed}: {verdict.wrong[0] if verdict.wrong else 'every oracle held'}")
    return int(bool(verdict.wrong))


def _run(seeds: range, jobs: int, profile: Profile, keep_going: bool) -> int:
    began, totals, failed = time.monotonic(), Totals(), None
    with judged(seeds, jobs, profile) as verdicts:
        for verdict in verdicts:
            totals.add(verdict)
            if sys.stdout.isatty():
                print(f"\r{totals.said(time.monotonic() - began)} ", end="", flush=True)
            if verdict.wrong:
                failed = verdict
                print(f"\nseed {verdict.seed}: {verdict.wrong[0]}", flush=True)
                if not keep_going:
                    break
    print(f"\r{totals.said(time.monotonic() - began)}")
    if failed is not None and not keep_going:
        print(tell(shorten(failed, profile), profile))
    return int(failed is not None)


@contextmanager
def judged(seeds: range, jobs: int, profile: Profile) -> Iterator[Iterable[Verdict]]:
    """The verdicts in the order of their seeds, ``jobs`` worlds at a time, each in a process of its own."""
    judge = functools.partial(simulate, profile=profile)
    if jobs == 1:
        yield map(judge, seeds)
        return
    fork = multiprocessing.get_context("fork")
    with fork.Pool(jobs) as pool:
        UNDISTURBED.update(zip(EVERY_SHAPE, pool.map(undisturbed, EVERY_SHAPE, chunksize=1), strict=True))
    with fork.Pool(jobs) as pool:
        # A pool takes up all that it is given at once, so it is given a part.
        parts = (seeds[at : at + PART] for at in range(0, len(seeds), PART))
        yield (verdict for part in parts for verdict in pool.imap(judge, part))


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # One seed is one world on every machine.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.sim", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
