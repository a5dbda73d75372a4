"""``make sim``: seed after seed until stopped; ``make sim SEED=N``: one of them, told line by line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

import optuna

from tests.sim.story import shorten, tell
from tests.sim.world import Profile, simulate


def main() -> int:
    """Exit code 1 where an oracle did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description="Run the operator in simulated worlds."
    )
    parser.add_argument("--seed", type=int, help="replay this one and print its trace")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, help="how many; else until stopped")
    parser.add_argument("--keep-going", action="store_true", help="after a seed that fails go on with the next")
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    if chosen.seed is not None:
        return _replay(chosen.seed)
    return _run(chosen.first, chosen.seeds, chosen.keep_going)


def _replay(seed: int) -> int:
    verdict = simulate(seed, Profile())
    print("\n".join(verdict.trace))
    print(f"seed {seed}: {verdict.wrong[0] if verdict.wrong else 'every oracle held'}")
    return int(bool(verdict.wrong))


def _run(first: int, seeds: int | None, keep_going: bool) -> int:
    began, seed, totals, failed = time.monotonic(), first, [0, 0.0], 0
    while seeds is None or seed < first + seeds:
        verdict = simulate(seed, Profile())
        totals[0] += len(verdict.met) + len(verdict.deeds)
        totals[1] += verdict.seconds
        failed += bool(verdict.wrong)
        if verdict.wrong and not keep_going:
            print(f"\n{tell(shorten(verdict, Profile()))}")
            return 1
        if verdict.wrong:
            print(f"\nseed {seed}: {verdict.wrong[0]}")
        seed += 1
        _progress(seed - first, failed, totals, time.monotonic() - began)
    print()
    return int(failed > 0)


def _progress(count: int, failed: int, totals: list[float], seconds: float) -> None:
    print(
        f"\r{count} seeds, {failed} failed, {totals[0]:.0f} faults, {totals[1] / 3600:.1f} simulated hours, "
        f"{count / seconds * 60:.0f} seeds a minute ",
        end="",
        flush=True,
    )


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # One seed is one world on every machine.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.sim", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
