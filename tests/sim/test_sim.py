"""The operator in simulated worlds: nothing that must never be is seen, and a seed is always the same world."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.draws import Moment
from tests.sim.experiments import SHAPES
from tests.sim.story import shorten, tell
from tests.sim.world import CALM, Profile, World, simulate, undisturbed

PROJECT = Path(__file__).resolve().parents[2]
FIRST, CHUNKS, SEEDS = 100, 12, 10


@pytest.mark.parametrize("shape", range(SHAPES))
def test_undisturbed_every_experiment_ends_and_leaves_the_world_clean(shape: int) -> None:
    trials = undisturbed(shape)
    assert trials and all(trial.state != "RUNNING" for trial in trials.values())


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_goes_wrong_every_rule_holds(chunk: int) -> None:
    for seed in range(FIRST + chunk * SEEDS, FIRST + (chunk + 1) * SEEDS):
        verdict = simulate(seed, Profile())
        assert not verdict.wrong, tell(shorten(verdict, Profile()))


def test_the_same_seed_is_the_same_world() -> None:
    here = simulate(FIRST, Profile())
    told = subprocess.run(
        [sys.executable, "-m", "tests.sim", "--seed", str(FIRST)], cwd=PROJECT, capture_output=True, check=True
    )
    assert told.stdout.decode().splitlines() == [*here.trace, f"seed {FIRST}: every oracle held"]
    assert len(here.met) > 3


def test_what_is_left_running_is_seen() -> None:
    world = World(0, CALM, shapes=(0,))
    world.processes.clear()
    assert "exp0 is None" in world.run(world.stored).wrong[0]
    world.close()


def test_a_failure_is_shortened_to_the_faults_that_it_takes() -> None:
    whole = simulate(FIRST, Profile())
    (guilty, *_), rest = whole.met, set(whole.met)
    runs: list[frozenset[Moment]] = []

    def replay(only: frozenset[Moment]):  # type: ignore[no-untyped-def]
        runs.append(only)
        met = {moment: whole.met[moment] for moment in whole.met if moment in only}
        wrong = ("it broke",) if guilty in only else ()
        return type(whole)(whole.seed, wrong, met, (), 0.0, 0, whole.trace)

    broken = type(whole)(whole.seed, ("it broke",), whole.met, (), 0.0, 0, whole.trace)
    found = shorten(broken, Profile(), replay)
    assert set(found.met) == {guilty} and rest > {guilty}
    assert f"make sim SEED={FIRST}" in tell(found) and "shortened to 1 fault" in tell(found)
