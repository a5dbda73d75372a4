"""What people ask of single trials: done once, whoever dies, or refused in words that help."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kubetuna.errors import RequestRefused, StoreUnavailable
from kubetuna.parsing.parse import parse_file_text
from kubetuna.store.reader import read_study, study_attributes
from kubetuna.store.requests import WAITING_LIMIT, write_request
from kubetuna.study.record import status_of, study_record
from kubetuna.study.steering import ANSWERS_KEPT
from kubetuna.trials.attempts import AttemptKey, AttemptRequest, ExitFacts
from kubetuna.trials.records import REQUEST, TrialRecord
from kubetuna.trials.requests import Answer, parse_request
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World, curve

ENDLESS = Run((b'{"step": 1, "loss": 1}',), endless=True)
CRASH = Run((b'{"step": 1, "loss": 5}',), ExitFacts(exit_code=2))
SPACE = [
    {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}},
    {"name": "opt", "parameterType": "categorical", "feasibleSpace": {"list": ["adam", "sgd", True, "true", None]}},
    {
        "name": "momentum",
        "parameterType": "double",
        "feasibleSpace": {"min": 0, "max": 1},
        "when": "opt == 'sgd'",
    },
]
CONSTRAINT = ["x <= 0.8"]


@pytest.fixture
def worlds() -> Iterator[Any]:
    """Makes worlds, and closes them."""
    made: list[World] = []

    def make(program: Any = curve, **spec: Any) -> World:
        made.append(World(experiment("", **{"maxTrialCount": 2, "parallelTrialCount": 1, **spec}), program))
        return made[-1]

    yield make
    for world in made:
        world.close()


def fails_once(launch: AttemptRequest) -> Run:
    """The first trial crashes."""
    return CRASH if launch.key.trial == 0 else curve(launch)


def answers(world: World) -> dict[str, Answer]:
    """By the request's ID."""
    return {answer.id: answer for answer in world.study.steering.answers}


def answer(world: World, line: str) -> Answer:
    """What becomes of a request in the next turns."""
    request = world.request(line)
    for _ in range(2):
        world.turn()
    return answers(world)[request]


def waiting(world: World) -> list[str]:
    """The requests that are written in the store."""
    attrs = study_attributes(world.database, world.spec.name) or {}
    return [key for key in attrs if key.startswith(REQUEST)]


def status(world: World) -> dict[str, Any]:
    """What somebody sees who only looks at the store."""
    return dict(study_record(read_study(world.database, world.spec.name), "").status)


def told(trial: TrialRecord) -> tuple[Any, ...]:
    return trial.state, trial.outcome, trial.message


# The line.


@pytest.mark.parametrize(
    "line",
    ["", "stop", "stop x", "stop -1", "stop 1.5", "stop NaN", "stop 1e9", f"stop {'9' * 5000}", "retry",
     "retry 1 2", "add", "add x", "add =1", "add x=1 x=2", "add 'x=1", "kill 3", "stop ٣", f"add x={'1' * 20_000}",
     "withdraw", "withdraw 3"],
)  # fmt: skip
def test_what_is_no_request_is_refused_in_words(line: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_request(line)
    assert 10 < len(str(refused.value)) < 400


def test_a_line_is_read_as_a_shell_reads_it() -> None:
    request = parse_request("add 'learning rate=1e-3' opt=\"a b\"")
    assert dict(request.point) == {"learning rate": "1e-3", "opt": "a b"}


# Stopping.


@pytest.mark.parametrize("dies", [False, True])
def test_a_stopped_trial_ends_as_stopped_and_is_not_retried(worlds: Any, dies: bool) -> None:
    world = worlds(lambda launch: ENDLESS if launch.key.trial == 0 else curve(launch), retryPolicy={"limit": 3})
    for _ in range(3):
        world.turn()
    world.request("stop 0")
    for _ in range(6):
        world.turn()
        if dies:
            world.start()
    world.finish()
    first, second = world.stored()
    assert told(first) == ("PRUNED", "Stopped", "stopped by hand") and len(first.attempts) == 1
    assert first.values == (1.0,), "it stands with its last value"
    assert told(second)[0] == "COMPLETE" and waiting(world) == []
    assert world.study.tally.failed == 0 and status(world)["trialsKilled"] == 1


def test_a_trial_that_waits_for_its_next_attempt_is_stopped_as_well(worlds: Any) -> None:
    world = worlds(lambda _: ENDLESS, maxTrialCount=1)
    for number in range(3):
        while AttemptKey(0, number) not in world.place.attempts:
            world.turn()
        world.turn()
        world.place.lose(AttemptKey(0, number), "NodeLost")
    world.request("stop 0")
    world.finish()
    (trial,) = world.stored()
    assert (trial.outcome, trial.message) == ("Stopped", "stopped by hand")
    assert world.place.launched == [AttemptKey(0, n) for n in range(3)]


def test_a_trial_that_never_started_is_stopped_as_well(worlds: Any) -> None:
    world = worlds()
    world.study.ask(0)
    world.study.flush()
    world.request("stop 0")
    world.finish()
    assert world.stored()[0].message == "never started: stopped by hand"
    assert AttemptKey(0, 0) not in world.place.launched


def test_a_stop_that_came_too_late_leaves_a_complete_trial(worlds: Any) -> None:
    """What ended by itself with its objective is complete, also where the stop was on its way."""
    world = worlds(maxTrialCount=1)
    world.place.stop = lambda key, why: None
    for _ in range(3):
        world.turn()
    assert answer(world, "stop 0").accepted
    world.finish()
    assert world.stored()[0].state == "COMPLETE"


def test_stopping_twice_is_done_once_and_said(worlds: Any) -> None:
    world = worlds(lambda launch: ENDLESS if launch.key.trial == 0 else curve(launch))
    world.place.stop, real = (lambda key, why: None), world.place.stop
    for _ in range(3):
        world.turn()
    assert answer(world, "stop 0").message == "trial 0 is being stopped"
    again = answer(world, "stop 0")
    assert again.accepted and again.message == "trial 0 is being stopped already"
    world.place.stop = real
    world.finish()
    last = answer(world, "stop 0")
    assert last.accepted and last.message == "trial 0 has been stopped already"
    assert [t.outcome for t in world.stored()] == ["Stopped", "Succeeded"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stop 0", "has ended already: Succeeded"),
        ("stop 2", "does not exist; trials: 0 to 1"),
        ("stop 99999999999999999", "does not exist"),
        ("retry 0", "has a result (Succeeded)"),
        ("retry 7", "does not exist"),
        ("retry NaN", "must be 'stop N'"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(worlds: Any, line: str, words: str) -> None:
    world = worlds()
    world.finish()
    before = world.stored()
    found = answer(world, line)
    assert not found.accepted and words in found.message
    world.finish()
    assert world.stored() == before and waiting(world) == []


# Running again.


@pytest.mark.parametrize("dies", [False, True])
def test_a_failed_trial_is_run_again_in_its_place(worlds: Any, dies: bool) -> None:
    """Also of an experiment that has ended, and then it counts as if it had not failed."""
    world = worlds(fails_once, maxTrialCount=3)
    world.finish()
    world.request("retry 0")
    for _ in range(3):
        world.turn()
        if dies:
            world.start()
    world.finish()
    failed, *_, again = world.stored()
    assert (failed.outcome, again.outcome, again.number) == ("Crashed", "Succeeded", 3)
    assert again.params == failed.params and again.retry_of == 0 and again.ordinal == failed.ordinal
    for seen in (status(world), status_of(world.spec, world.stored(), world.clock.now())):
        counts = {name: seen[name] for name in ("trials", "trialsSucceeded", "trialsFailed", "failures", "state")}
        assert counts == {
            "trials": 3, "trialsSucceeded": 3, "trialsFailed": 0, "failures": [], "state": "Succeeded",
        }  # fmt: skip
    assert world.study.tally == (world.start() or world.study.tally)


def test_an_experiment_that_failed_goes_on_once_its_failures_are_run_again(worlds: Any) -> None:
    broken = [True]
    world = worlds(lambda launch: CRASH if broken[0] else curve(launch), maxTrialCount=4, maxFailedTrialCount=2)
    assert world.finish().reason == "ExperimentFailed"
    broken[0] = False
    world.request("retry 0")
    world.request("retry 1")
    assert world.finish().reason == "ExperimentMaxTrialsReached"
    assert [t.outcome for t in world.stored()] == ["Crashed"] * 2 + ["Succeeded"] * 4


def test_a_trial_is_not_run_again_twice_at_once(worlds: Any) -> None:
    world = worlds(lambda launch: CRASH if launch.key.trial == 0 else ENDLESS, parallelTrialCount=2)
    for _ in range(5):
        world.turn()
    assert answer(world, "retry 0").accepted
    assert "was run again as trial 2; that one has not ended" in answer(world, "retry 0").message
    assert answer(world, "stop 2").accepted
    assert "retry that one: retry 2" in answer(world, "retry 0").message
    assert answer(world, "retry 2").accepted
    numbers = [(t.number, t.retry_of) for t in world.stored()]
    assert numbers == [(0, None), (1, None), (2, 0), (3, 2)]


def test_a_running_and_a_pruned_trial_are_not_run_again(worlds: Any) -> None:
    prunes = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 0.0}]}
    world = worlds(lambda launch: ENDLESS, earlyStopping=prunes)
    world.turn()
    assert "has not ended; stop it first" in answer(world, "retry 0").message
    world.finish()
    assert "has a result (Pruned)" in answer(world, "retry 0").message


def test_while_the_count_is_reached_a_point_waits_and_a_retry_does_not(worlds: Any) -> None:
    world = worlds(fails_once)
    world.finish()
    assert answer(world, "add x=0.25").accepted
    world.finish()
    assert len(world.stored()) == 2 and status(world)["trialsQueued"] == 1
    world.request("retry 0")
    world.finish()
    assert [(t.retry_of, t.added) for t in world.stored()][2:] == [(0, False)]
    world.spec = parse_file_text(experiment("", maxTrialCount=3, parallelTrialCount=1))
    world.start()
    world.finish()
    assert [t.params["x"] for t in world.stored()][3:] == [0.25] and "trialsQueued" not in status(world)


def test_a_retry_that_an_edit_of_the_space_overtakes_is_given_up_and_the_failure_counts_again(worlds: Any) -> None:
    world = worlds(fails_once)
    world.finish()
    failed = world.stored()[0].params["x"]
    assert world.study.carry_out("late", "retry 0", world.clock.now()).accepted
    world.study.flush()
    sides = {"min": 0, "max": failed - 0.01} if failed > 0.5 else {"min": failed + 0.01, "max": 1}
    space = [{"name": "x", "parameterType": "double", "feasibleSpace": sides}]
    world.spec = parse_file_text(experiment("", maxTrialCount=2, parallelTrialCount=1, parameters=space))
    world.start()
    world.finish()
    found = answers(world)["late"]
    assert not found.accepted and "the search space was edited meanwhile: x: Invalid value" in found.message
    before = world.study.tally
    world.start()
    assert before == world.study.tally and before.failed == 1 and len(world.stored()) == 2


# Adding.


@pytest.mark.parametrize("dies", [False, True])
def test_an_added_point_is_tried_before_what_the_search_proposes(worlds: Any, dies: bool) -> None:
    world, calm = worlds(maxTrialCount=4), worlds(maxTrialCount=4)
    calm.finish()
    world.turn()
    world.request("add x=0.25")
    for _ in range(4):
        world.turn()
        if dies:
            world.start()
    world.finish()
    points = [t.params["x"] for t in world.stored()]
    assert points[1] == 0.25 and len(points) == 4
    # Trial numbers seed the proposals.
    assert [points[0], *points[2:]] == [t.params["x"] for i, t in enumerate(calm.stored()) if i != 1]
    assert [t.added for t in world.stored()] == [False, True, False, False]


def test_the_points_of_the_file_and_of_the_grid_are_all_tried_beside_added_ones(worlds: Any) -> None:
    space = [{"name": "x", "parameterType": "int", "feasibleSpace": {"min": 0, "max": 4}}]
    grid = {"algorithmName": "grid"}
    world = worlds(
        fails_once, parameters=space, algorithm=grid, maxTrialCount=5, warmStart={"points": [{"x": 3}, {"x": 1}]}
    )
    world.request("add x=2")
    for _ in range(8):
        world.turn()
    world.request("retry 0")
    world.finish()
    points = [t.params["x"] for t in world.stored()]
    assert points[:4] == [2, 3, 2, 1] and sorted(points) == [0, 1, 2, 2, 3, 4]
    assert "SearchSpaceExhausted" not in str(status(world)["conditions"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("add x=2", "x: Invalid value: \"2\": is outside the feasible space of 'x': from 0 to 1"),
        ("add x=nan", "x: Invalid value: "),
        ("add x=1e999", "x: Invalid value: "),
        ("add x=-.inf", "x: Invalid value: "),
        (f"add x={'9' * 500}", "x: Invalid value: "),
        ("add x=", "x: Invalid value: "),
        ("add x=[[[[1", "x: Invalid value: "),
        ("add 'x=&a [*a, *a]'", "x: Invalid value: "),
        ("add opt=rmsprop", "opt: Invalid value: \"rmsprop\": is outside the feasible space of 'opt': one of"),
        ("add learning_rat=1 x=0.5", "learning_rat: unknown field"),
        ("add opt=adam momentum=0.5", "momentum: Invalid value: 0.5: 'momentum' does not exist at this point"),
        ("add x=0.9", "violates the constraint 'x <= 0.8'"),
    ],
)
def test_a_point_outside_the_space_is_refused_with_its_field(worlds: Any, line: str, words: str) -> None:
    world = worlds(parameters=SPACE, constraints=CONSTRAINT)
    world.turn()
    found = answer(world, line)
    assert (
        not found.accepted
        and words in found.message
        and found.message[0] != ":"
        and world.study.steering.queue == ()
    )


@pytest.mark.parametrize(
    ("text", "value"), [("adam", "adam"), ("true", True), ("'\"true\"'", "true"), ("null", None), ("", None)]
)
def test_a_value_is_read_as_yaml_reads_it(worlds: Any, text: str, value: object) -> None:
    world = worlds(parameters=SPACE)
    assert answer(world, f"add x=0.5 opt={text}").accepted
    assert {"x": 0.5, "opt": value} in [t.params for t in world.stored()]


def test_what_a_point_leaves_open_is_drawn(worlds: Any) -> None:
    world = worlds(parameters=SPACE, constraints=CONSTRAINT, maxTrialCount=3)
    world.request("add opt=sgd")
    world.request("add opt=sgd x=0.5")
    world.finish()
    first, second, _ = world.stored()
    assert first.params["opt"] == second.params["opt"] == "sgd" and second.params["x"] == 0.5
    assert first.params["x"] <= 0.8 and "momentum" in first.params and "momentum" in second.params


def test_a_point_that_cannot_be_completed_is_given_up_and_said(worlds: Any) -> None:
    limits = ["x > 0.5 or opt != 'adam'", "x <= 0.5 or opt != 'adam'"]
    world = worlds(parameters=SPACE, constraints=limits)
    request = world.request("add opt=adam")
    world.finish()
    found = answers(world)[request]
    assert not found.accepted and "no untried point with these values" in found.message
    assert len(world.stored()) == 2 and world.study.steering.queue == ()


def test_no_point_is_tried_twice(worlds: Any) -> None:
    world = worlds(fails_once, maxTrialCount=3)
    world.request("add x=0.25")
    world.request("add x=0.5")
    assert "waits to be tried already" in answer(world, "add x=0.5").message
    world.finish()
    assert (
        "trial 0 (Crashed) is at this point already; run it again with: retry 0"
        in answer(world, "add x=0.25").message
    )
    assert (
        "trial 1 (Succeeded) is at this point already; no point is tried twice"
        in answer(world, "add x=0.5").message
    )


def test_a_point_that_waits_is_withdrawn(worlds: Any) -> None:
    world = worlds(maxTrialCount=2)
    world.request("add x=0.25")
    world.request("add x=0.5")
    found = answer(world, "withdraw x=0.5")
    assert found.accepted and found.message == "the point is not tried"
    again = answer(world, "withdraw x=0.5")
    assert not again.accepted and "does not wait to be tried" in again.message
    assert "x: Invalid value" in answer(world, "withdraw x=2000").message
    world.finish()
    points = [trial.params["x"] for trial in world.stored()]
    assert 0.25 in points and 0.5 not in points and world.study.steering.queue == ()


def test_a_retry_that_waits_is_withdrawn_and_its_trial_counts_again(worlds: Any) -> None:
    world = worlds(lambda launch: CRASH if launch.key.trial == 0 else ENDLESS, maxTrialCount=3)
    while len(world.stored()) < 2:
        world.turn()
    first = world.stored()[0]
    assert answer(world, "retry 0").accepted and world.study.tally.failed == 0
    (queued,) = world.study.steering.queue
    assert queued.retry_of == 0
    assert answer(world, f"withdraw x={first.params['x']!r}").accepted
    assert world.study.tally.failed == 1 and world.study.steering.queue == ()


# The way of a request.


def test_what_is_asked_while_nobody_runs_is_done_by_who_comes_next(worlds: Any) -> None:
    world = worlds(fails_once, maxTrialCount=4)
    for _ in range(12):
        world.turn()
    for line in ("retry 0", "add x=0.25", "stop 77", "nonsense"):
        world.request(line)
    assert len(waiting(world)) == 4
    world.start()
    world.finish()
    assert waiting(world) == []
    assert [a.accepted for a in world.study.steering.answers] == [True, True, False, False]
    assert [t.retry_of for t in world.stored()].count(0) == 1
    assert [t.params["x"] for t in world.stored()].count(0.25) == 1


def test_a_request_whose_commit_is_lost_is_carried_out_once(worlds: Any) -> None:
    world = worlds()
    world.turn()
    flush = world.study.flush

    def lost() -> None:
        flush()
        raise StoreUnavailable("the answer was lost")

    world.study.flush = lost
    request = world.request("add x=0.25")
    world.turn()
    world.study.flush = flush
    world.finish()
    assert [t.params["x"] for t in world.stored()].count(0.25) == 1
    assert answers(world)[request].accepted


def test_an_id_may_be_used_again_once_its_request_is_gone(worlds: Any) -> None:
    world = worlds()
    world.finish()
    for _ in range(2):
        write_request(world.database, world.spec.name, "same", "stop 9")
        for _ in range(3):
            world.turn()
        assert waiting(world) == [] and not world.study.steering.answered("same", "stop 9")


def test_answers_and_requests_are_bounded(worlds: Any) -> None:
    world = worlds()
    for _ in range(3 * ANSWERS_KEPT):
        world.request("stop 9")
    for _ in range(5):
        world.turn()
    assert waiting(world) == [] and len(world.study.steering.answers) == ANSWERS_KEPT
    shown = status(world)["requests"]
    assert len(shown) == 10 and shown[-1]["id"] == world.request("stop 9")[:-1] + "0"
    for number in range(WAITING_LIMIT - 1):
        write_request(world.database, world.spec.name, f"z{number}", "stop 9")
    with pytest.raises(RequestRefused, match="wait already"):
        world.request("stop 9")


def test_a_study_of_an_older_version_has_nothing_to_answer_and_opens(worlds: Any) -> None:
    world = worlds()
    world.finish()
    attrs = study_attributes(world.database, world.spec.name) or {}
    assert not [key for key in attrs if "answers" in key or "queue" in key]
    assert "requests" not in status(world) and json.dumps(status(world))
