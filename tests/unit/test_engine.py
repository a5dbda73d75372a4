"""The engine with a real study and a fake place: whatever dies in between, no work is lost or done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kubetuna.errors import StoreFenced, StoreUnavailable
from kubetuna.planning.plan import RESEND_SECONDS
from kubetuna.reconciling.reconciler import Ports
from kubetuna.store.reader import study_attributes
from kubetuna.study.steering import ANSWERS_KEPT
from kubetuna.trials.attempts import AttemptKey, AttemptRequest, ExitFacts
from kubetuna.trials.records import REQUEST, TrialRecord
from tests.fakes import FakeLogs, Run
from tests.local.runs import experiment
from tests.world import World, curve


class Killed(BaseException):
    """The runner dies here, without any chance to clean up."""


MEDIAN = {"algorithmName": "median", "algorithmSettings": [{"name": "n_startup_trials", "value": 2}]}


def test_a_study_ends_the_same_however_often_its_runner_dies() -> None:
    """Kill the runner after every single turn: same trials, same values, nothing started twice."""
    text = experiment("", maxTrialCount=6, parallelTrialCount=1, earlyStopping=MEDIAN)
    calm, shaken = World(text, curve), World(text, curve)
    calm.finish()
    for _ in range(200):
        if not shaken.turn().trials and len(shaken.stored()) == 6:
            break
        shaken.start()
    shaken.finish()

    def story(world: World) -> list[Any]:
        return [(t.number, t.state, t.params, t.values, t.steps, t.outcome) for t in world.stored()]

    assert story(shaken) == story(calm)
    assert max(Counter(shaken.place.launched).values()) == 1
    calm.close()
    shaken.close()


@pytest.mark.parametrize("dies", [False, True])
def test_text_beside_json_reports_leaves_no_trace_however_often_the_runner_dies(dies: bool) -> None:
    """The text's points are durable by the time that JSON comes; then they are gone from the database too."""
    lines = (b"loss=7", b"loss=8", b"loss=9", b'{"step": 1, "loss": 0.5}', b"patience=5 loss=99", b"loss=1e9")
    world = World(experiment("", maxTrialCount=1), lambda _: Run(lines))
    seen = []
    for _ in range(12):
        world.turn()
        seen += [t.steps for t in world.stored()]
        if dies:
            world.start()
    world.finish()
    (trial,) = world.stored()
    assert any(len(steps) > 1 for steps in seen), "text was reported before"
    assert (trial.state, trial.values, trial.steps, dict(trial.metrics)) == (
        "COMPLETE", (0.5,), ((1, 0.5),), {"loss": 0.5},
    )  # fmt: skip
    world.close()


def test_no_trial_is_pruned_on_text_once_a_trial_gave_its_curve_as_json() -> None:
    """All run one program: what a later trial's bar says before its first report is no step of theirs."""
    lines = (b"warmup: loss=1000", *(f'{{"step": {step}, "loss": 0.5}}'.encode() for step in range(4)))
    text = experiment("", maxTrialCount=6, parallelTrialCount=1, earlyStopping=MEDIAN)
    world = World(text, lambda _: Run(lines))
    while not world.study.told:
        world.turn()
    world.start()
    world.finish()
    assert [(t.state, len(t.steps)) for t in world.stored()] == [("COMPLETE", 4)] * 6
    world.close()


def test_a_summary_as_json_leaves_pruning_to_the_text() -> None:
    def program(order: AttemptRequest) -> Run:
        level = order.key.trial
        return Run((*(f"loss={level}".encode() for _ in range(6)), f'{{"loss": {level}}}'.encode()))

    world = World(experiment("", maxTrialCount=5, parallelTrialCount=1, earlyStopping=MEDIAN), program)
    world.finish()
    assert [t.state for t in world.stored()] == ["COMPLETE", "COMPLETE", *["PRUNED"] * 3]
    world.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_around_a_launch_starts_that_attempt_once(moment: str) -> None:
    world = World(experiment("", maxTrialCount=1), curve)
    launch = world.place.launch

    def dies(order: AttemptRequest) -> None:
        if moment == "after":
            launch(order)
        raise Killed

    world.place.launch = dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.finish()
    world.place.launch = launch  # type: ignore[method-assign]
    world.start()
    world.finish()
    assert world.place.launched == [AttemptKey(0, 0)]
    assert [len(t.attempts) for t in world.stored()] == [1]
    world.close()


def test_what_cannot_be_written_is_not_acted_on() -> None:
    world = World(experiment("", maxTrialCount=2), curve)
    flush = world.study.flush
    told: list[str] = []
    world.engine.ports = Ports(world.place, FakeLogs(world.place), world.clock, lambda s, e: None, told.append)

    def lost() -> None:
        raise StoreUnavailable("the database is away")

    world.study.flush = lost  # type: ignore[method-assign]
    for _ in range(5):
        world.turn()
    assert world.place.launched == [] and world.stored() == () and told
    world.study.flush = flush  # type: ignore[method-assign]
    world.finish()
    assert [t.state for t in world.stored()] == ["COMPLETE", "COMPLETE"]
    world.close()


PRUNES_AT_ONCE = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 0.0}]}


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("seen_running", [False, True])
def test_a_verdict_on_a_trial_that_ended_by_itself_comes_too_late(seen_running: bool, restarts: bool) -> None:
    """It made all its reports, so it is complete with all of them, in whatever order its end and they were seen."""
    world = World(experiment("", maxTrialCount=1, earlyStopping=PRUNES_AT_ONCE), curve)
    world.place.stop = lambda key, why: None  # type: ignore[method-assign]
    while not world.place.attempts:
        world.turn()
    for _ in range(2 if seen_running else 6):
        world.place.step()
    for _ in range(8):
        world.turn()
        if restarts:
            world.start()
    world.finish()
    (trial,) = world.stored()
    stops = {a.stop for a in trial.attempts}
    assert (trial.state, trial.outcome, stops) == ("COMPLETE", "Succeeded", {"Pruned"} if seen_running else {None})
    assert [step for step, _ in trial.steps] == [1, 2, 3, 4, 5]
    assert trial.values == (trial.steps[-1][1],)
    world.close()


def test_reports_that_came_with_the_verdict_do_not_count_where_the_stop_worked() -> None:
    """However many lines were read at once, and whoever dies after it, the trial is as it was at the verdict."""
    world = World(experiment("", maxTrialCount=1, earlyStopping=PRUNES_AT_ONCE), curve)
    while not world.place.attempts:
        world.turn()
    world.place.step()
    world.place.step()
    world.turn()
    world.start()
    world.finish()
    (trial,) = world.stored()
    assert trial.state == "PRUNED" and trial.values == (trial.steps[0][1],) == (trial.metrics["loss"],)
    assert len(trial.steps) == 1
    world.close()


def test_a_stop_that_was_lost_is_sent_again_and_not_at_every_turn() -> None:
    """A budget that is spent ends what runs, though the place did not hear of it the first times."""
    endless = Run((b'{"step": 1, "loss": 1}',), endless=True)
    world = World(experiment("", maxTrialCount=1, budget={"wallClock": "60s"}), lambda launch: endless)
    stop, asked = world.place.stop, list[float]()

    def lost(key: AttemptKey, why: str) -> None:
        asked.append(world.clock.now())
        if len(asked) == 4:
            stop(key, why)

    world.place.stop = lost  # type: ignore[method-assign]
    for _ in range(90):
        world.turn()
    assert world.stored()[0].outcome == "Stopped"
    assert [later - before for before, later in pairwise(asked)] == [RESEND_SECONDS] * 3
    world.close()


def test_a_turn_that_only_repeats_the_one_before_waits_for_its_effect() -> None:
    """An attempt that takes long to go does not keep the runner busy."""
    world = World(experiment("", maxTrialCount=1), curve)
    stray = AttemptRequest(AttemptKey(7, 0), "stray", {"x": 0.5}, "hash", {})
    world.place.launch(stray)
    world.place.delete = lambda key: None  # type: ignore[method-assign]
    progressed = [world.engine.turn(world.engine.observe(), world.clock.now())[0] for _ in range(4)]
    assert progressed[-1] is False
    world.close()


STRAY = AttemptKey(7, 0)


def world_with_a_stray() -> World:
    """One trial runs, and beside it an attempt that the study does not know."""
    endless = Run((b'{"step": 1, "loss": 1}',), endless=True)
    world = World(experiment("", maxTrialCount=1), lambda launch: endless)
    for _ in range(4):
        world.turn()
    assert not world.study.pending
    world.place.launch(AttemptRequest(STRAY, "stray", {"x": 0.5}, "hash", {}))
    return world


def test_who_lost_the_study_ends_nothing_though_there_is_nothing_to_write() -> None:
    """What it takes for a stray may be the new writer's."""
    world = world_with_a_stray()
    stale = world.engine
    world.start()
    with pytest.raises(StoreFenced):
        stale.step()
    assert world.place.attempts[STRAY].facts.phase == "running"
    world.engine.step()
    assert world.place.attempts[STRAY].facts.phase == "ended"
    world.close()


def test_while_the_database_is_away_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with_a_stray()
    told: list[str] = []
    world.engine.ports = replace(world.engine.ports, unavailable=told.append)

    def lost() -> None:
        raise StoreUnavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.study, "confirm", lost)
        step = world.engine.step()
    assert told and step.due > world.clock.now()
    assert world.place.attempts[STRAY].facts.phase == "running"
    world.engine.step()
    assert world.place.attempts[STRAY].facts.phase == "ended"
    world.close()


def test_a_turn_without_effects_asks_the_database_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with_a_stray()
    world.place.attempts.pop(STRAY)
    monkeypatch.setattr(world.study, "confirm", lambda: pytest.fail("asked"))
    world.turn()
    world.close()


def test_a_step_proposes_as_much_as_it_may_and_says_what_it_left() -> None:
    world = World(experiment("", maxTrialCount=3, parallelTrialCount=3), curve)
    assert world.engine.step(asks=0).held and not world.study.open
    assert world.engine.step(asks=2).held and len(world.study.open) == 2
    step = world.engine.step(asks=2)
    assert not step.held and len(world.study.open) == 3
    assert sorted(world.place.launched) == [AttemptKey(n, 0) for n in range(3)]
    world.close()


def test_a_launch_costs_no_question_whether_it_has_been_made() -> None:
    """In a cluster each would be a request, of a thousand Pods a thousand."""
    world = World(experiment("", maxTrialCount=3, parallelTrialCount=3), curve)
    world.place.absent = lambda key: pytest.fail(f"asked of {key}")  # type: ignore[method-assign]
    assert world.finish().reason == "ExperimentMaxTrialsReached"
    world.close()


def test_a_turn_whose_effects_take_long_leaves_the_rest_to_the_next() -> None:
    """And nothing is lost of it, nor done twice."""
    world = World(experiment("", maxTrialCount=5, parallelTrialCount=5), curve)
    launch = world.place.launch

    def slow(order: AttemptRequest) -> None:
        world.clock.time += 0.6
        launch(order)

    world.place.launch = slow  # type: ignore[method-assign]
    for expected in (2, 4):
        step = world.engine.step()
        assert len(world.place.launched) == expected
        assert step.due <= world.clock.now(), "the rest is not waited for"
    world.engine.step()
    assert len(world.place.launched) == 5
    assert world.finish() and len(world.place.launched) == 5
    world.close()


def test_a_deadline_that_has_passed_keeps_nobody_busy() -> None:
    """Until what was stopped is seen to end there is nothing to do."""
    endless = Run((b'{"step": 1, "loss": 1}',), endless=True)
    world = World(experiment("", maxTrialCount=1, budget={"wallClock": "60s"}), lambda launch: endless)
    world.place.stop = lambda key, why: None  # type: ignore[method-assign]
    world.turn()
    world.clock.time += 100.0
    for _ in range(3):
        step = world.engine.step()
    assert step.due > world.clock.now()
    world.close()


def test_attempts_that_vanish_again_and_again_are_still_followed_by_others() -> None:
    """The wait before a further free attempt counts from when the one before it was first missed."""
    world = World(experiment("", maxTrialCount=1), curve)
    for _ in range(4):
        for _ in range(80):
            world.turn()
            if world.place.attempts:
                break
        world.turn()
        world.place.attempts.clear()
    assert world.finish() and world.stored()[0].state == "COMPLETE"
    assert [a.outcome for a in world.stored()[0].attempts] == ["Deleted"] * 4 + ["Succeeded"]
    world.close()


def test_attempts_that_end_at_no_known_time_are_still_followed_by_others() -> None:
    """A Pod that the kubelet refuses has no time of its end: the wait must not begin anew at every look."""
    refused = Run(exit=ExitFacts(reason="UnexpectedAdmissionError"))
    world = World(experiment("", maxTrialCount=1), lambda order: refused if order.key.attempt < 4 else curve(order))
    observe = world.place.observe
    world.place.observe = lambda: [replace(f, ended=None) for f in observe()]  # type: ignore[method-assign]
    assert world.finish() and world.stored()[0].state == "COMPLETE"
    attempts = world.stored()[0].attempts
    assert [a.outcome for a in attempts] == ["Infrastructure"] * 4 + ["Succeeded"]
    waits = [after.created - (before.ended or 0.0) for before, after in pairwise(attempts)]
    assert waits[0] < 2 <= waits[1] and waits[2] >= 4 and waits[3] >= 8
    world.close()


def test_an_attempt_that_is_not_seen_is_not_gone_before_a_fresh_look_says_so() -> None:
    """A place's image may be empty although all its attempts run: started twice, each would have cost two GPUs."""
    world = World(experiment("", maxTrialCount=2, parallelTrialCount=2), lambda _: Run((b"loss=1",), endless=True))
    world.turn()
    world.turn()
    observe, world.place.observe = world.place.observe, list  # type: ignore[method-assign]
    for _ in range(5):
        world.turn()
    assert len(world.place.launched) == 2
    world.place.attempts.pop(AttemptKey(0, 0))
    world.place.observe = observe  # type: ignore[method-assign]
    world.turn()
    assert world.place.launched == [AttemptKey(0, 0), AttemptKey(1, 0), AttemptKey(0, 1)]
    world.close()


def test_a_trial_is_tried_on_another_node_than_the_one_that_failed_it() -> None:
    orders: list[AttemptRequest] = []

    def endless(launched: AttemptRequest) -> Run:
        orders.append(launched)
        return Run((b"loss=1",), endless=True)

    world = World(experiment("", maxTrialCount=1, parallelTrialCount=1), endless)
    for number, reason in enumerate(("NodeLost", "PreemptionByScheduler", "UnexpectedAdmissionError")):
        world.turn()
        world.turn()
        attempt = world.place.attempts[AttemptKey(0, number)]
        attempt.facts = replace(attempt.facts, node=f"node-{number}")
        world.place.lose(AttemptKey(0, number), reason)
        world.clock.time += 60
        world.turn()
    assert [o.avoid for o in orders] == [(), ("node-0",), ("node-0",), ("node-2", "node-0")]
    world.close()


def test_what_is_back_from_a_lost_node_is_read_to_its_real_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that began while the node was lost finds all that there is, and is over when it is back."""
    world = World(experiment("", maxTrialCount=1), curve)
    read = FakeLogs.read
    monkeypatch.setattr(FakeLogs, "read", lambda *asked: replace(read(*asked), drained=True))
    while not world.place.attempts:
        world.turn()
    world.place.step()
    world.turn()
    monkeypatch.undo()
    world.finish()
    (trial,) = world.stored()
    assert [(a.outcome, a.reason) for a in trial.attempts] == [("Succeeded", None)]
    assert trial.steps[-1][0] == 5
    world.close()


def test_the_end_of_a_vanished_attempt_is_recorded_as_the_moment_it_was_missed() -> None:
    """Else the wait before the next one would count as time that it used."""
    world = World(experiment("", maxTrialCount=1), curve)
    missed = []
    for _ in range(2):
        while not world.place.attempts:
            world.turn()
        world.turn()
        world.place.attempts.clear()
        missed.append(world.clock.now())
    world.finish()
    ends = world.stored()[0].attempts[:2]
    assert [a.ended for a in ends] == missed and {(a.outcome, a.reason) for a in ends} == {("Deleted", "Deleted")}
    world.close()


def counted(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Those of the search, without the ones in whose place another one stands."""
    own = [t for t in trials if t.retest_of is None]
    replaced = {t.retry_of for t in own}
    return [t for t in own if t.number not in replaced]


@settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
class Chaos(RuleBasedStateMachine):
    """A runner that may die anywhere, a place that loses attempts, a database that goes away."""

    @initialize(parallel=st.integers(1, 3), prune=st.booleans(), repeats=st.integers(1, 3), retest=st.booleans())
    def begin(self, parallel: int, prune: bool, repeats: int, retest: bool) -> None:
        extra: dict[str, Any] = {"earlyStopping": MEDIAN} if prune else {}
        extra |= {"retest": {"top": 2, "repeats": 2}} if retest else {}
        text = experiment("", maxTrialCount=5, parallelTrialCount=parallel, repeats=repeats, **extra)
        self.world = World(text, self.program)
        self.told: dict[int, tuple[str, Any]] = {}
        self.away = False

    @staticmethod
    def program(launch: AttemptRequest) -> Run:
        kind = launch.key.trial % 4
        if kind == 1 and launch.key.attempt == 0:
            return Run((b'{"step": 1, "loss": 5}',), ExitFacts(exit_code=2))
        if kind == 2:
            return Run((b"nothing to say",))
        return curve(launch)

    @rule(turns=st.integers(1, 4))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.world.turn()

    @rule()
    def runner_dies(self) -> None:
        self.world.start()

    @rule(calls=st.integers(0, 3), effect=st.sampled_from(["launch", "stop", "delete"]))
    def runner_dies_within_a_turn(self, calls: int, effect: str) -> None:
        place, left = self.world.place, [calls]
        real = getattr(place, effect)

        def dies(*words: Any) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            real(*words)

        setattr(place, effect, dies)
        try:
            self.world.turn()
        except Killed:
            self.world.start()
        finally:
            setattr(place, effect, real)

    @rule(turns=st.integers(1, 3))
    def stops_are_lost(self, turns: int) -> None:
        place = self.world.place
        place.stop = lambda key, why: None  # type: ignore[method-assign]
        for _ in range(turns):
            self.world.turn()
        del place.stop  # type: ignore[method-assign]

    @rule(reason=st.sampled_from(["NodeLost", "Preempted", "RunnerDied"]), which=st.integers(0, 9))
    def an_attempt_is_lost(self, reason: str, which: int) -> None:
        keys = list(self.world.place.attempts)
        if keys:
            self.world.place.lose(keys[which % len(keys)], reason)

    @rule(verb=st.sampled_from(["stop", "retry"]), number=st.integers(0, 7))
    def somebody_asks_something_of_a_trial(self, verb: str, number: int) -> None:
        self.world.request(f"{verb} {number}")

    @rule(x=st.integers(0, 9))
    def somebody_adds_a_point(self, x: int) -> None:
        self.world.request(f"add x={x / 10}")

    @rule(which=st.integers(0, 9))
    def somebody_deletes_an_attempt(self, which: int) -> None:
        keys = list(self.world.place.attempts)
        if keys:
            del self.world.place.attempts[keys[which % len(keys)]]

    @precondition(lambda self: not self.away)
    @rule()
    def the_database_goes_away_for_a_turn(self) -> None:
        study = self.world.study
        flush = study.flush

        def lost() -> None:
            raise StoreUnavailable("away")

        study.flush = lost  # type: ignore[method-assign]
        self.world.turn()
        study.flush = flush  # type: ignore[method-assign]

    @invariant()
    def what_was_told_stays(self) -> None:
        if not hasattr(self, "world"):
            return
        stored = self.world.stored()
        assert [t.number for t in stored] == list(range(len(stored)))
        assert len(counted(stored)) <= 5
        replaced = [t.retry_of for t in stored if t.retry_of is not None]
        assert len(replaced) == len(set(replaced)), "a trial was run again twice in its own place"
        points = [t.params["x"] for t in counted(stored)]
        assert len(points) == len(set(points)), "a point was tried twice"
        again = [t.retest_of for t in stored if t.retest_of is not None]
        # What is run again after the re-tests may be one of the best, too.
        assert len(again) == len(set(again)) <= 2 + len(replaced), "a trial was re-tested twice"
        for trial in stored:
            if trial.state in ("COMPLETE", "PRUNED", "FAIL"):
                fact = (trial.state, trial.values)
                assert self.told.setdefault(trial.number, fact) == fact
            numbers = [a.number for a in trial.attempts]
            assert numbers == list(range(len(numbers)))
            assert all(a.outcome for a in trial.attempts[:-1]), "an attempt was replaced before it had ended"
            self._each_repeat_ends_once(trial)

    def _each_repeat_ends_once(self, trial: TrialRecord) -> None:
        done = [a.repeat for a in trial.attempts if a.outcome == "Succeeded"]
        assert done == list(range(len(done))), "a repeat was run again, or left out"
        if trial.state == "COMPLETE":
            assert len(done) == self.world.spec.runs(trial.retest_of is not None)

    def _every_request_is_answered(self) -> None:
        """The latest answers are remembered; no request is left in the store."""
        given = {answer.id for answer in self.world.study.steering.answers}
        asked = [f"{number + 1:04}" for number in range(self.world.asked)]
        assert given >= set(asked[-ANSWERS_KEPT:])
        attrs = study_attributes(self.world.database, self.world.spec.name) or {}
        assert not [key for key in attrs if key.startswith(REQUEST)]

    @invariant()
    def one_attempt_of_a_trial_runs_at_a_time(self) -> None:
        if not hasattr(self, "world"):
            return
        running = Counter(k.trial for k, a in self.world.place.attempts.items() if a.facts.phase == "running")
        assert all(count == 1 for count in running.values()) and len(running) <= self.world.spec.parallel + 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.finish()
        searched = counted(self.world.stored())
        complete = [t for t in searched if t.state == "COMPLETE"]
        assert len(searched) == 5
        if self.world.spec.retest is not None:
            retests = [t for t in self.world.stored() if t.retest_of is not None]
            assert len(retests) >= min(2, len(complete))
        assert all(t.state in ("COMPLETE", "PRUNED", "FAIL") for t in self.world.stored())
        assert not self.world.place.attempts, "an attempt was left behind"
        self._every_request_is_answered()
        self.what_was_told_stays()
        self.world.close()


TestChaos = Chaos.TestCase


def test_the_folder_of_this_file_holds_no_study() -> None:
    """The worlds above keep to their own folders."""
    assert not list(Path(__file__).parent.glob("*.db"))
