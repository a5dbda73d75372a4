"""The operator in simulated worlds: nothing that must never be is seen, and a seed is always the same world."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kubetuna.study.steering import Steering
from tests.sim import FIRST, SEEDS
from tests.sim.__main__ import judged
from tests.sim.database import FOREIGN_STUDY, Database
from tests.sim.draws import Moment
from tests.sim.experiments import EVERY_SHAPE
from tests.sim.people import LENGTHS
from tests.sim.postgres import Postgres, served
from tests.sim.story import shorten, tell
from tests.sim.world import BEGIN, CALM, Profile, World, simulate, undisturbed

PROJECT = Path(__file__).resolve().parents[2]
POSTGRES_SEEDS = 6


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m tests.sim``."""
    command, around = [sys.executable, "-m", "tests.sim", *words], {**os.environ, **environment}
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, env=around)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_undisturbed_every_experiment_ends_and_leaves_the_world_clean(shape: int) -> None:
    trials = undisturbed(shape)
    assert trials and all(trial.state != "RUNNING" for trial in trials.values())


# A machine that is busy gets its time.
@pytest.mark.timeout(3_600)
def test_whatever_goes_wrong_every_rule_holds() -> None:
    told = run("--first", str(FIRST), "--seeds", str(SEEDS))
    assert told.returncode == 0, told.stdout[-20_000:] + told.stderr[-5_000:]
    assert f"{SEEDS} seeds, 0 failed" in told.stdout


@pytest.mark.timeout(3_600)
def test_on_postgresql_every_rule_holds(postgres_base: str) -> None:
    words = ("--first", str(FIRST), "--seeds", str(POSTGRES_SEEDS), "--database", "postgres")
    told = run(*words, KUBETUNA_TEST_POSTGRES=postgres_base)
    assert told.returncode == 0, told.stdout[-20_000:] + told.stderr[-5_000:]
    assert f"{POSTGRES_SEEDS} seeds, 0 failed" in told.stdout


def test_what_must_never_happen_to_a_study_is_noted_on_both_databases(postgres_base: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBETUNA_TEST_POSTGRES", postgres_base)
        with served() as empty:
            for database in (Database(), Postgres(empty)):
                with closing(database):
                    assert database.add_foreign(FOREIGN_STUDY, "COMPLETE") == 1 and database.noted() == []
                    database.ask("UPDATE trials SET state = 'FAIL' RETURNING trial_id")
                    database.ask("UPDATE trial_values SET value = 2.0 RETURNING trial_id")
                    assert len(database.noted()) == 2


def test_the_same_seed_is_the_same_world() -> None:
    here = simulate(FIRST, Profile())
    told = run("--seed", str(FIRST))
    assert told.stdout.splitlines() == [*here.trace, f"seed {FIRST}: every oracle held"]
    assert len(here.met) > 3


def test_beside_others_a_seed_is_the_same_world() -> None:
    """In a process of its own, since one that has threads must not be forked."""
    told = subprocess.run(
        [sys.executable, "-c", f"from tests.sim.test_sim import beside_others; beside_others({FIRST}, 4)"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


def beside_others(first: int, count: int) -> None:
    """Raises where a seed is another world in a process beside another one."""
    seeds = range(first, first + count)
    with judged(seeds, jobs=2, profile=Profile()) as verdicts:
        beside = list(verdicts)
    assert len(beside) == count and beside == [simulate(seed, Profile()) for seed in seeds]


def test_what_is_left_running_is_seen() -> None:
    world = World(0, CALM, shapes=(0,))
    world.processes.clear()
    assert "exp0 is None" in world.run(world.stored).wrong[0]
    world.close()


@pytest.mark.parametrize("chance", range(4))
def test_a_deletion_without_nodes_or_a_database_leaves_no_trial_open(chance: int) -> None:
    world = World(0, CALM, shapes=(0,))
    world.fate.plan(BEGIN + 20.0, Moment("deed", 0), "delete for good", random.Random(chance))
    world.fate.quiet_at = BEGIN + 20.0 + LENGTHS["delete for good"][1]
    assert not world.run(world.stored).wrong
    world.close()


def test_a_request_that_takes_effect_twice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(0, CALM, shapes=(0,))
    world.fate.ask("exp0", "mine", "add x=0.25 n=1")
    monkeypatch.setattr(Steering, "take", lambda steering: steering.queue[0] if steering.queue else None)
    assert "asked to add x=0.25 n=1: accepted 1 times, done" in world.run(world.stored).wrong[0]
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
    told = tell(found, Profile())
    assert f"make sim SEED={FIRST}" in told and "shortened to 1 fault" in told
    assert f"--seed {FIRST} --rate 0.1 --deeds 8 --operators 3" in tell(found, Profile(0.1, 8, 3))


def test_worse_worlds_can_be_asked_for() -> None:
    told = run("--first", str(FIRST), "--seeds", "4", "--rate", "0.2", "--deeds", "12", "--operators", "3")
    usual = run("--first", str(FIRST), "--seeds", "4")
    assert told.returncode == 0 == usual.returncode, told.stdout
    assert _faults(told.stdout) > 2 * _faults(usual.stdout)


def _faults(told: str) -> int:
    return int(told.partition(" failed, ")[2].split()[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rate", "2"), "argument --rate: 2: a number from 0 to 1"),
        (("--deeds", "-1"), "argument --deeds: -1: 0 or more"),
        (("--operators", "0"), "argument --operators: 0: 1 or more"),
    ],
)
def test_worlds_that_cannot_be_are_refused(words: tuple[str, str], said: str) -> None:
    told = run("--seeds", "1", *words)
    assert told.returncode == 2 and said in told.stderr
