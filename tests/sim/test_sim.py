"""The operator in simulated worlds: nothing that must never be is seen, and a seed is always the same world."""

from __future__ import annotations

import pytest

from tests.sim.experiments import SHAPES
from tests.sim.world import CALM, World, simulate, undisturbed


@pytest.mark.parametrize("shape", range(SHAPES))
def test_undisturbed_every_experiment_ends_and_leaves_the_world_clean(shape: int) -> None:
    trials = undisturbed(shape)
    assert trials and all(trial.state != "RUNNING" for trial in trials.values())


def test_the_same_seed_is_the_same_world() -> None:
    assert simulate(3, CALM).trace == simulate(3, CALM).trace


def test_what_is_left_running_is_seen() -> None:
    world = World(0, CALM, shapes=(0,))
    world.processes.clear()
    assert "exp0 is None" in world.run(world.stored).wrong[0]
    world.close()
