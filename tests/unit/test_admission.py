"""``parallelTrialCount: {min, max}``: as many trials are open as the queue admits, and one that waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubetuna.parsing.parse import parse_file_text
from kubetuna.planning.plan import Ask, plan
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, ExitFacts
from kubetuna.trials.outcome import Outcome
from kubetuna.trials.snapshot import AttemptView, Snapshot, Tally, TrialView
from tests.fakes import FakeExecutor, Run
from tests.local.runs import experiment
from tests.unit.plan.builders import NOW, attempt, past, trial
from tests.unit.plan.builders import experiment as model
from tests.world import World, curve

BETWEEN = {"min": 1, "max": 6}


class QueuedExecutor(FakeExecutor):
    """A place behind a queue that admits as many attempts as its quota, those first that wait longest."""

    quota = 0

    def launch(self, order: Any) -> None:
        known = order.key in self.attempts
        super().launch(order)
        if not known:
            waits = AttemptFacts(order.key, "pending", self._clock.now(), queued=True, uid=order.name)
            self.attempts[order.key].facts = waits

    def admit(self) -> None:
        for key in self.waiting()[: max(0, self.quota - len(self.running()))]:
            now = self._clock.now()
            self.attempts[key].facts = AttemptFacts(key, "running", now, now, node="fake")

    def step(self) -> None:
        super().step()
        self.admit()

    def stop(self, key: AttemptKey, why: str) -> None:
        """What has no node yet is deleted, as in a cluster."""
        if key in self.waiting():
            del self.attempts[key]
        super().stop(key, why)

    def take_back(self) -> None:
        for key in self.running():
            self.lose(key, "StoppedByQueue")

    def waiting(self) -> list[AttemptKey]:
        return [key for key, one in self.attempts.items() if one.facts.queued]

    def running(self) -> list[AttemptKey]:
        return [key for key, one in self.attempts.items() if one.facts.phase == "running"]

    def open(self) -> tuple[int, int]:
        """How many run, and how many wait."""
        return len(self.running()), len(self.waiting())


class Queued(World):
    """A runner whose trials do not end by themselves, until they are let."""

    place: QueuedExecutor

    def __init__(self, spec: dict[str, Any], program: Callable[[Any], Run] | None = None) -> None:
        text = experiment("", **{"maxTrialCount": 20, "parallelTrialCount": BETWEEN, "queueName": "team", **spec})
        self.endless = program is None
        super().__init__(text, program or (lambda order: replace(curve(order), endless=self.endless)))
        self.place = QueuedExecutor(self.place._program, self.clock)
        self.start()

    def turns(self, count: int = 12) -> tuple[int, int]:
        for _ in range(count):
            self.turn()
        return self.place.open()

    def edit(self, **spec: Any) -> None:
        """The spec changes under what runs."""
        document = {**json.loads(json.dumps(self.spec.raw)), "spec": {**self.spec.raw["spec"], **spec}}
        self.spec = parse_file_text(json.dumps(document))
        self.start()

    def let_them_end(self) -> None:
        for one in self.place.attempts.values():
            one.run.endless = False
        self.endless = False


@pytest.fixture
def worlds() -> Iterator[Callable[..., Queued]]:
    made: list[Queued] = []

    def make(quota: int = 3, **spec: Any) -> Queued:
        world = Queued(spec)
        made.append(world)
        world.place.quota = quota
        return world

    yield make
    for world in made:
        world.close()


Worlds = Callable[..., Queued]


@pytest.mark.parametrize(
    ("between", "quota", "found"),
    [
        (BETWEEN, 0, (0, 1)),
        (BETWEEN, 1, (1, 1)),
        (BETWEEN, 3, (3, 1)),
        (BETWEEN, 5, (5, 1)),
        (BETWEEN, 6, (6, 0)),
        (BETWEEN, 99, (6, 0)),
        ({"max": 6}, 2, (2, 1)),
        ({"min": 4, "max": 6}, 0, (0, 4)),
        ({"min": 4, "max": 6}, 2, (2, 2)),
        ({"min": 4, "max": 6}, 4, (4, 1)),
        ({"min": 6, "max": 6}, 2, (2, 4)),
        ({"min": 1, "max": 1}, 0, (0, 1)),
        (6, 2, (2, 4)),
    ],
)
def test_one_waits_beside_those_that_are_admitted(
    worlds: Worlds, between: Any, quota: int, found: tuple[int, int]
) -> None:
    world = worlds(quota, parallelTrialCount=between)
    assert world.turns(20) == found
    world.place.quota = 99
    world.let_them_end()
    assert world.finish().reason == "ExperimentMaxTrialsReached"
    assert [t.state for t in world.stored()] == ["COMPLETE"] * 20


def test_it_follows_the_quota_up_and_nobody_is_ended_as_it_falls(worlds: Worlds) -> None:
    world = worlds(3)
    assert world.turns() == (3, 1)
    world.place.quota = 5
    assert world.turns() == (5, 1)
    world.place.quota = 2
    assert world.turns() == (5, 1), "what was admitted stays"
    world.place.quota = 0
    world.place.take_back()
    assert world.turns(100) == (0, 6)
    assert len(world.study.open) == 6 and world.study.tally.ended == 0
    world.place.quota = 2
    assert world.turns() == (2, 4), "nothing is proposed before the last of them is admitted"
    world.place.quota = 99
    world.let_them_end()
    world.finish()
    assert [t.state for t in world.stored()] == ["COMPLETE"] * 20


def test_what_ends_makes_room_for_one_more(worlds: Worlds) -> None:
    world = worlds(2)
    assert world.turns() == (2, 1)
    for one in list(world.place.attempts.values())[:2]:
        one.run.endless = False
    assert world.turns() == (2, 1)
    assert (world.study.tally.complete, world.study.tally.numbered) == (2, 5)


def test_a_restart_proposes_nothing(worlds: Worlds) -> None:
    world = worlds(3)
    assert world.turns() == (3, 1)
    for _ in range(5):
        world.start()
        assert world.turns(2) == (3, 1)
    assert len(world.stored()) == 4


def test_a_number_and_a_mapping_may_follow_each_other(worlds: Worlds) -> None:
    world = worlds(1, parallelTrialCount=4)
    assert world.turns() == (1, 3)
    world.edit(parallelTrialCount={"min": 1, "max": 4})
    assert world.turns() == (1, 3), "what waits already is left"
    world.place.quota = 4
    assert world.turns() == (4, 0)
    world.edit(parallelTrialCount={"min": 1, "max": 8})
    assert world.turns() == (4, 1)
    world.edit(parallelTrialCount=7)
    assert world.turns() == (4, 3)
    world.edit(parallelTrialCount=2)
    assert world.turns() == (4, 3), "lowered counts let what is open go on"


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"shutdown": True}, "ExperimentShutdown"),
        ({"budget": {"wallClock": "1s"}}, "BudgetExhausted"),
        ({"budget": {"gpuHours": 0.0001}}, "BudgetExhausted"),
        ({"maxFailedTrialCount": 1}, "ExperimentFailed"),
        ({"stopWhen": {"noImprovement": 1}}, "NoImprovement"),
        ({"objective": {"type": "minimize", "objectiveMetricName": "loss", "goal": 99}}, "ExperimentGoalReached"),
    ],
)
def test_what_waits_is_withdrawn_at_the_end(worlds: Worlds, edit: dict[str, Any], reason: str) -> None:
    world = worlds(3)
    assert world.turns() == (3, 1)
    first, second, *_ = world.place.attempts.values()
    first.run.endless = second.run.endless = False
    if "maxFailedTrialCount" in edit:
        second.run.exit = ExitFacts(exit_code=1)
    assert world.turns() == (3, 1)
    world.place.quota = 0
    world.edit(**edit)
    assert world.finish().reason == reason
    assert world.place.open() == (0, 0)
    assert {t.state for t in world.stored()} <= {"COMPLETE", "PRUNED", "FAIL"}
    waited = world.stored()[-1]
    assert (waited.outcome, len(waited.attempts)) == ("Stopped", 1)


def test_a_suspension_that_stops_withdraws_and_goes_on_with_as_many(worlds: Worlds) -> None:
    world = worlds(3)
    assert world.turns() == (3, 1)
    world.edit(suspend=True, suspendPolicy="stop")
    assert world.turns() == (0, 0)
    world.edit(suspend=False)
    assert world.turns() == (3, 1)
    assert len(world.stored()) == 4, "those that were open, and no other"


def test_a_suspension_that_drains_lets_what_waits_run(worlds: Worlds) -> None:
    world = worlds(3)
    assert world.turns() == (3, 1)
    world.edit(suspend=True, suspendPolicy="drain")
    world.let_them_end()
    assert world.turns() == (0, 0)
    assert [t.state for t in world.stored()] == ["COMPLETE"] * 4


def test_a_retest_takes_as_many_places_as_the_queue_gives(worlds: Worlds) -> None:
    world = worlds(2, maxTrialCount=6, parallelTrialCount={"max": 6}, retest={"top": 4, "repeats": 2})
    world.let_them_end()
    most = 0
    while world.turn().tally.retested < 4:
        waiting = {key.trial for key in world.place.waiting()}
        most = max(most, len(waiting))
    assert most == 1 and world.finish().reason == "ExperimentMaxTrialsReached"


def rooms(*trials: TrialView, **more: Any) -> int:
    """How many trials are proposed beside these."""
    least, most = more.pop("least", 1), more.pop("most", 9)
    more.setdefault("tally", Tally(numbered=len(trials)))
    spec = model(parallel=most, parallel_min=least, max_trials=99)
    return sum(isinstance(a, Ask) for a in plan(Snapshot(spec, trials, **more), NOW))


def pending(number: int, **facts: Any) -> TrialView:
    seen = AttemptFacts(AttemptKey(number, 0), "pending", NOW, **facts)
    return trial(number, AttemptView(0, NOW, seen))


RUNS, WAITS = trial(0, attempt(0)), pending(1, queued=True, uid="1")


@pytest.mark.parametrize(
    ("trials", "room"),
    [
        ((), 1),
        ((RUNS,), 1),
        ((RUNS, WAITS), 0),
        ((RUNS, pending(1, uid="1")), 1),
        ((RUNS, pending(1, uid="1", waiting="0/3 nodes are available")), 1),
        ((RUNS, pending(1, waiting="exceeded quota: gpus")), 0),
        ((RUNS, trial(1)), 0),
        ((RUNS, trial(1, attempt(1, phase=None))), 0),
        ((RUNS, trial(1, attempt(1, phase="ended", drained=False))), 1),
    ],
)
def test_who_waits_to_be_admitted(trials: tuple[TrialView, ...], room: int) -> None:
    assert rooms(*trials) == room


def test_a_trial_that_is_tried_again_waits_again() -> None:
    lost = trial(1, attempt(1, phase="ended", exit={"reason": "StoppedByQueue"}))
    assert rooms(RUNS, lost) == 0
    later = trial(1, past(0, Outcome.INFRASTRUCTURE), attempt(1, 1, phase="ended", exit={"reason": "NodeLost"}))
    assert rooms(RUNS, later) == 1, "meanwhile there is room"


def test_a_place_with_a_capacity_has_no_queue() -> None:
    assert rooms(capacity=4) == 4
    assert rooms(capacity=40) == 9
    assert rooms(WAITS, capacity=4) == 3


def test_the_room_is_what_the_counts_say() -> None:
    """min(max, max(min, admitted + 1)) trials are open, whatever they do."""
    for least in range(1, 7):
        for most in range(least, 8):
            for running in range(8):
                for waiting in range(8):
                    trials = [trial(n, attempt(n)) for n in range(running)]
                    trials += [pending(running + n, queued=True) for n in range(waiting)]
                    wanted = min(most, max(least, running + 1))
                    found = rooms(*trials, least=least, most=most)
                    assert found == max(0, wanted - running - waiting)
