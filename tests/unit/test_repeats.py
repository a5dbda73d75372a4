"""Repeats: what is told is the mean of all runs of a configuration, or that it failed, and never a part of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubetuna.trials.attempts import AttemptKey, AttemptRequest, ExitFacts
from kubetuna.trials.records import means
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World

PRUNER = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 100}]}


def noisy(launch: AttemptRequest) -> Run:
    """A loss of 1, 2, 3 by the repeat, and a metric that the last repeat lacks."""
    repeat = launch.key.repeat
    metrics = {"step": 1, "loss": 1.0 + repeat} | ({"extra": 1.0} if repeat < 2 else {})
    return Run((json.dumps(metrics).encode(),))


def run(program: Any, **fields: Any) -> World:
    world = World(experiment("", **{"maxTrialCount": 1, "repeats": 3, **fields}), program)
    world.finish()
    return world


def test_the_mean_of_all_repeats_is_told() -> None:
    world = run(noisy)
    (trial,) = world.stored()
    assert (trial.state, trial.values, dict(trial.metrics)) == ("COMPLETE", (2.0,), {"loss": 2.0})
    assert [r["loss"] for r in trial.repeats] == [1.0, 2.0, 3.0]
    assert world.place.launched == [AttemptKey(0, 0, 0), AttemptKey(0, 1, 1), AttemptKey(0, 2, 2)]
    assert [a["repeat"] for a in trial.as_json()["attempts"]] == [0, 1, 2]
    world.close()


def test_each_repeat_has_a_seed_and_a_name_of_its_own() -> None:
    orders: list[AttemptRequest] = []

    def program(launch: AttemptRequest) -> Run:
        orders.append(launch)
        return noisy(launch)

    run(program).close()
    assert [o.name for o in orders] == ["small-0-0-0", "small-0-1-1", "small-0-2-2"]
    assert len({o.environment["KUBETUNA_SEED"] for o in orders}) == 3
    assert [o.environment["KUBETUNA_REPEAT"] for o in orders] == ["0", "1", "2"]


def test_a_configuration_that_fails_with_one_seed_has_failed() -> None:
    """A mean over the seeds that happened to survive would favour what crashes."""

    def program(launch: AttemptRequest) -> Run:
        return Run((), ExitFacts(exit_code=3)) if launch.key.repeat == 1 else noisy(launch)

    world = run(program)
    (trial,) = world.stored()
    assert (trial.state, trial.outcome, trial.values) == ("FAIL", "Crashed", None)
    assert world.place.launched == [AttemptKey(0, 0, 0), AttemptKey(0, 1, 1)]
    world.close()


def test_a_repeat_is_retried_as_a_trial_is() -> None:
    def program(launch: AttemptRequest) -> Run:
        return Run((), ExitFacts(exit_code=3)) if launch.key.attempt in (0, 2) else noisy(launch)

    world = run(program, retryPolicy={"limit": 1})
    (trial,) = world.stored()
    assert trial.values == (2.0,)
    assert [(a.repeat, a.outcome) for a in trial.attempts] == [
        (0, "Crashed"), (0, "Succeeded"), (1, "Crashed"), (1, "Succeeded"), (2, "Succeeded"),
    ]  # fmt: skip
    world.close()


def test_a_pruned_first_run_costs_no_further_one() -> None:
    def program(launch: AttemptRequest) -> Run:
        return Run(tuple(json.dumps({"step": s, "loss": 200.0}).encode() for s in range(3)))

    world = run(program, earlyStopping=PRUNER)
    (trial,) = world.stored()
    assert trial.outcome == "Pruned" and len(trial.attempts) == 1
    world.close()


def test_only_the_first_run_is_shown_to_the_pruner() -> None:
    """Its curve is the trial's; a further run's steps would come a second time."""

    def program(launch: AttemptRequest) -> Run:
        value = 200.0 if launch.key.repeat else 1.0
        return Run((json.dumps({"step": 1, "loss": value}).encode(),))

    world = run(program, earlyStopping=PRUNER, repeats=2)
    (trial,) = world.stored()
    assert (trial.state, trial.values, trial.steps) == ("COMPLETE", (100.5,), ((1, 1.0),))
    world.close()


def test_what_an_earlier_repeat_printed_speaks_for_no_later_one() -> None:
    """I8: a run without a metric is a failure, not the value of the run before."""

    def program(launch: AttemptRequest) -> Run:
        return Run((b"nothing",)) if launch.key.repeat == 1 else noisy(launch)

    world = run(program)
    assert world.stored()[0].outcome == "MetricsUnavailable"
    world.close()


@pytest.mark.parametrize("turns", range(1, 12))
def test_a_runner_that_dies_at_any_turn_changes_nothing(turns: int) -> None:
    world = World(experiment("", maxTrialCount=1, repeats=3), noisy)
    for _ in range(turns):
        world.turn()
    world.start()
    world.finish()
    (trial,) = world.stored()
    assert trial.values == (2.0,) and len(world.place.launched) == 3
    world.close()


def test_a_trial_whose_experiment_ends_between_repeats_has_no_mean() -> None:
    def program(launch: AttemptRequest) -> Run:
        slow = launch.key.trial == 1 and launch.key.repeat == 1
        return Run((json.dumps({"step": 1, "loss": 5.0 if slow else 0.0}).encode(),), endless=slow)

    world = run(program, maxTrialCount=2, parallelTrialCount=2, repeats=2, stopWhen={"goal": 1})
    first, second = world.stored()
    assert (first.values, second.outcome, len(second.repeats)) == ((0.0,), "Stopped", 1)
    world.close()


def test_means_leave_out_what_one_run_lacks() -> None:
    assert means([{"a": 1.0, "b": 2.0}, {"a": 3.0}]) == {"a": 2.0}
    assert means([]) == {}
