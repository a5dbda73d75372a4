"""The re-test: the winner is chosen over fresh seeds, and the search neither counts nor prunes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kubetuna.planning.status import Moment, render
from kubetuna.planning.stopping import stop_decision
from kubetuna.store.reader import read_study
from kubetuna.study.record import study_record
from kubetuna.trials.attempts import AttemptRequest, ExitFacts
from kubetuna.trials.progress import best_of, progress_of
from tests.fakes import Run
from tests.local.runs import experiment
from tests.unit.plan.builders import experiment as plain
from tests.unit.plan.builders import snapshot, trial
from tests.world import World

RETEST = {"top": 2, "repeats": 3}


def lucky(launch: AttemptRequest) -> Run:
    """Trial 1 has the best loss in the search and a bad one ever after; all others have what they have."""
    search = launch.key.trial < 4
    values = {0: 0.2, 1: 0.1, 2: 0.5, 3: 0.6}
    again = {4: 0.9, 5: 0.2}
    value = values[launch.key.trial] if search else again[launch.key.trial] + launch.key.repeat / 100
    return Run((json.dumps({"step": 1, "loss": value}).encode(),))


def run(program: Any = lucky, **fields: Any) -> World:
    world = World(experiment("", **{"maxTrialCount": 4, "retest": RETEST, **fields}), program)
    world.ending = world.finish()
    return world


def status_of(world: World) -> dict[str, Any]:
    return dict(study_record(read_study(world.database, world.spec.name), "").status)


def test_the_best_are_run_again_and_the_best_of_those_wins() -> None:
    world = run()
    trials = world.stored()
    assert [(t.retest_of, t.state) for t in trials[4:]] == [(1, "COMPLETE"), (0, "COMPLETE")]
    assert trials[4].params == trials[1].params and len(trials[4].repeats) == 3
    best = best_of(world.spec, trials)
    assert best is not None and (best.number, best.values) == (5, (pytest.approx(0.21),))
    shown = status_of(world)
    assert (shown["state"], shown["trials"], shown["trialsSucceeded"], shown["trialsRetested"]) == (
        "Succeeded",
        4,
        4,
        2,
    )
    assert shown["currentOptimalTrial"]["retestOf"] == 0 and len(shown["currentOptimalTrial"]["repeats"]) == 3
    world.close()


@pytest.mark.parametrize("turns", range(8, 30, 2))
def test_a_runner_that_dies_while_it_retests_does_nothing_twice(turns: int) -> None:
    world = World(experiment("", maxTrialCount=4, retest=RETEST), lucky)
    for _ in range(turns):
        world.turn()
        world.start()
    world.finish()
    assert [t.retest_of for t in world.stored()[4:]] == [1, 0]
    assert len(world.place.launched) == len(set(world.place.launched)) == 4 + 2 * 3
    world.close()


def test_a_goal_ends_the_search_and_not_the_retest() -> None:
    world = run(stopWhen={"goal": 0.15}, parallelTrialCount=1, retest={"top": 1, "repeats": 2})
    trials = world.stored()
    assert [t.retest_of for t in trials] == [None, None, 1] and trials[2].state == "COMPLETE"
    assert world.ending is not None and world.ending.reason == "ExperimentGoalReached"
    world.close()


def test_a_retest_is_no_sign_of_a_broken_template() -> None:
    def program(launch: AttemptRequest) -> Run:
        return Run((), ExitFacts(exit_code=3)) if launch.key.trial >= 4 else lucky(launch)

    world = run(program, maxFailedTrialCount=1)
    shown = status_of(world)
    assert (shown["state"], shown["trialsFailed"]) == ("Succeeded", 0)
    assert shown["currentOptimalTrial"]["number"] == 1, "with no re-test to go by, the search's best stands"
    world.close()


def test_no_pruner_ends_a_retest() -> None:
    strict = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 0.7}]}
    world = run(earlyStopping=strict)
    assert [t.state for t in world.stored()[4:]] == ["COMPLETE", "COMPLETE"]
    world.close()


def test_more_trials_after_the_end_retest_only_what_is_new() -> None:
    """A raised count takes the search up; candidates that were run again keep what they have."""

    def program(launch: AttemptRequest) -> Run:
        loss = {0: 0.3, 1: 0.2, 4: 0.1}.get(launch.key.trial, 0.5)
        return Run((json.dumps({"step": 1, "loss": loss}).encode(),))

    world = run(program, maxTrialCount=2)
    assert [t.retest_of for t in world.stored()] == [None, None, 1, 0]
    world.spec = replace(world.spec, max_trials=3)
    world.start()
    world.finish()
    assert [t.retest_of for t in world.stored()] == [None, None, 1, 0, None, 4]
    world.close()


def test_a_hard_end_leaves_no_room_for_a_retest() -> None:
    spec = plain(retest=None, shutdown=True)
    end = stop_decision(snapshot(trial(5, retest=True), spec=spec, retests_due=(1,)), 2_000.0)
    assert end is not None and (end.reason, end.retesting) == ("ExperimentShutdown", False)


def test_while_the_best_are_run_again_the_experiment_is_not_over() -> None:
    world = World(experiment("", maxTrialCount=4, retest=RETEST), lucky)
    for _ in range(200):
        seen = world.turn()
        if any(t.retest for t in seen.trials):
            break
    end = stop_decision(seen, world.clock.now())
    shown = render(seen, end, progress_of(world.spec, world.stored()).results(), Moment(world.clock.now()))
    assert shown["state"] == "Running" and "completionTime" not in shown
    assert shown["message"] == "4 trials were made; the best are run again"
    world.finish()
    world.close()
