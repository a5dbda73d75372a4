"""Hard limits, and what nobody may see: the bounds hold where nothing goes wrong, and what breaks them is found."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.resources import EXPERIMENTS, Target
from tests.sim.bounds import DATABASE_HOST, PROMPT, leak, overshoot, overtime, used_up
from tests.sim.nodes import Run
from tests.sim.scripts import LAST_WORDS, Script
from tests.sim.world import CALM, World, undisturbed

NO_SCRIPT = Script("good", (), None)
BUDGET = {"budget": {"gpuHours": "0.01", "trialTimeout": "60s"}}


def ran(started: float, ended: float) -> Run:
    made = Run("uid", "pod", "trial", ("owner", 0, 0), 0, "node-1", NO_SCRIPT, started)
    made.ended = ended
    return made


@pytest.mark.parametrize("shape", range(0, 24, 3))
def test_a_budget_is_overshot_by_no_more_than_a_poll_and_the_grace_of_what_runs(shape: int) -> None:
    with closing(World(0, CALM, shapes=(shape,))) as world:
        world.fate.lower_budget("exp0", 0.004)
        verdict = world.run(lambda _: undisturbed(shape))
        spent = sum((run.ended or 0.0) - run.started for run in world.nodes.runs.values())
    assert not verdict.wrong and spent < 0.004 * 3600 + 3 * PROMPT


def test_what_ran_beyond_a_limit_is_found() -> None:
    runs = [ran(0.0, 20.0), ran(4.0, 40.0)]
    assert used_up(runs, 36.0) == 20.0 and used_up(runs, 57.0) == float("inf")
    assert not list(overshoot(BUDGET, runs, 0.0, 18.0)) and not list(overshoot({}, runs, 0.0, 0.0))
    assert list(overshoot(BUDGET, runs, 0.0, 17.0)), "two had begun, one went on for twenty seconds less two"
    assert list(overshoot(BUDGET, [*runs, ran(50.0, 90.0)], 0.0, 20.0)), "a new one was started"
    assert not list(overshoot(BUDGET, runs, 30.0, 10.0)), "before that nobody could stop it"
    assert not list(overtime(BUDGET, [ran(0.0, 70.0)], 0.0, 10.0)) and list(
        overtime(BUDGET, [ran(0.0, 71.0)], 0.0, 10.0)
    )


def test_a_password_is_found_wherever_it_stands() -> None:
    assert leak(LAST_WORDS) and leak('{"message": "db.internal is away"}') and not leak("the database is away")


def test_what_is_shown_or_kept_and_may_not_be_is_reported() -> None:
    with closing(World(0, CALM, shapes=(0,))) as world:
        shown = {"status": {"message": f"{DATABASE_HOST} is away"}}
        world.cluster.server.writes.merge(Target(EXPERIMENTS, NAMESPACE, "exp0", "status"), shown, {})
        world.oracles.check_kept("one", {"deferred writes": 2, "reads of logs": 0})
        first, *_, last = world.oracles.found
    assert DATABASE_HOST in first and "keeps 2 deferred writes" in last
