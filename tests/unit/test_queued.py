"""Attempts that wait in a queue: shown as such, counted, and never taken for what keeps a trial from starting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubetuna.analysis.report.cost import cost_card
from kubetuna.analysis.report.view import view_of
from kubetuna.planning.status import Moment, render
from kubetuna.store.reader import read_study
from kubetuna.study.record import study_record
from kubetuna.terminal.tables import status_rows
from kubetuna.trials.attempts import AttemptFacts, AttemptKey
from kubetuna.trials.records import from_json
from tests.fakes import FakeExecutor
from tests.local.runs import experiment
from tests.world import World, curve


@pytest.fixture
def world() -> Iterator[World]:
    made = World(experiment("", maxTrialCount=2, parallelTrialCount=2), curve)
    yield made
    made.close()


def hold(world: World, *numbers: int, attempt: int = 0) -> None:
    """A queue holds these trials, from now on."""
    for number in numbers:
        key, now = AttemptKey(number, attempt), world.clock.now()
        facts = AttemptFacts(key, "pending", now, queued=True)
        world.place.attempts[key] = replace(world.place.attempts[key], facts=facts)


def admit(world: World, number: int, attempt: int = 0) -> None:
    key, now = AttemptKey(number, attempt), world.clock.now()
    facts = AttemptFacts(key, "running", now, now, node="fake")
    world.place.attempts[key] = replace(world.place.attempts[key], facts=facts)


def queued(world: World) -> None:
    """Both trials wait, and the runner has seen it."""
    world.turn()
    hold(world, 0, 1)
    world.turn()


def status(world: World) -> dict[str, Any]:
    """What somebody sees who only looks at the store."""
    return dict(study_record(read_study(world.database, world.spec.name), "").status)


def shown(world: World) -> dict[str, Any]:
    snapshot = world.engine.observe()
    return render(snapshot, None, world.study.results(), Moment(world.clock.now()))


def test_what_waits_is_told_from_what_runs(world: World) -> None:
    queued(world)
    admit(world, 0)
    found = shown(world)
    assert (found["trialsInQueue"], found["trialsPending"], found["trialsRunning"]) == (1, 1, 1)
    rows = dict(status_rows(world.spec, found))
    assert rows["trials"].startswith("2 of 2: 1 running, 1 in a queue, 0 done")


def test_the_store_tells_it_too(world: World) -> None:
    queued(world)
    world.turn()
    assert status(world)["trialsInQueue"] == 2
    assert all(t.in_queue and "queued" in t.as_json() for t in world.stored())
    assert all(from_json(t.as_json()).in_queue for t in world.stored())


def test_the_time_in_the_queue_is_told_beside_the_time_running(world: World) -> None:
    queued(world)
    world.clock.time += 100
    admit(world, 0)
    world.turn()
    world.clock.time += 50
    assert 250 <= shown(world)["spent"]["queueSeconds"] < 270
    admit(world, 1)
    assert world.finish().message
    found = status(world)
    assert 250 <= found["spent"]["queueSeconds"] < 270 and "trialsInQueue" not in found
    assert dict(status_rows(world.spec, found))["in a queue"].startswith("4 min")
    card = cost_card(view_of(world.spec, found, world.stored(), world.clock.now()))
    assert re.search("<dt>in a queue</dt><dd>4 min .*</dd>", card)


def test_who_was_seen_waiting_by_one_runner_is_counted_by_the_next(world: World) -> None:
    queued(world)
    world.turn()
    world.clock.time += 100
    world.start()
    admit(world, 0)
    admit(world, 1)
    world.turn()
    assert all(200 > a.queue_seconds(0.0) >= 100 for t in world.stored() for a in t.attempts)


def test_what_was_admitted_and_taken_back_before_it_ran_waits_again(world: World) -> None:
    queued(world)
    key, now = AttemptKey(0, 0), world.clock.now()
    facts = AttemptFacts(key, "pending", now)
    world.place.attempts[key] = replace(world.place.attempts[key], facts=facts)
    world.turn()
    assert shown(world)["trialsInQueue"] == 1
    hold(world, 0)
    world.clock.time += 100
    world.turn()
    assert shown(world)["trialsInQueue"] == 2 and status(world)["trialsInQueue"] == 2
    admit(world, 0)
    world.turn()
    assert shown(world)["trialsInQueue"] == 1


@pytest.mark.parametrize("take", [FakeExecutor.lose, FakeExecutor.vanish])
def test_displaced_attempts_are_shown(world: World, take: Callable[[FakeExecutor, AttemptKey, str], None]) -> None:
    """However fast they went."""
    world.turn()
    for _ in range(12):
        (latest,) = [key for key in world.place.attempts if key.trial == 0][-1:]
        world.turn()
        take(world.place, latest, "StoppedByQueue")
        world.turn()
        world.clock.time += 100
        world.turn()
    assert world.finish().message
    found = status(world)
    assert (found["attemptsDisplaced"], found["trialsFailed"], found["trialsSucceeded"]) == (12, 0, 2)
    assert dict(status_rows(world.spec, found))["displaced"].startswith("12 attempts")


def test_an_experiment_without_a_queue_says_nothing_of_one(world: World) -> None:
    assert world.finish().message
    found = status(world)
    assert not {"trialsInQueue", "attemptsDisplaced"} & set(found) and "queueSeconds" not in found["spent"]
    assert not {"in a queue", "displaced"} & set(dict(status_rows(world.spec, found)))
