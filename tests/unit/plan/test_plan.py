"""The plan names only what may be done next, given what is durable (DESIGN invariants I1 to I4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubetuna.experiment.model import Budget, StopWhen
from kubetuna.planning.plan import (
    FREE_RETRIES,
    IDLE_SECONDS,
    RESEND_SECONDS,
    Action,
    Ask,
    Delete,
    LaunchAttempt,
    Publish,
    Report,
    Stop,
    Tell,
    Wait,
    finished,
    plan,
)
from kubetuna.planning.stopping import IDENTICAL_FAILURES, stop_decision
from kubetuna.trials.attempts import AttemptKey
from kubetuna.trials.outcome import DISPLACED_REASONS, Classified, Outcome, Reading
from kubetuna.trials.snapshot import Snapshot, Tally, TrialView
from tests.unit.plan.builders import (
    NO_METRIC,
    NOW,
    attempt,
    experiment,
    good_reading,
    past,
    snapshot,
    trial,
)


def acts(state: Snapshot) -> list[Action]:
    return [a for a in plan(state, NOW) if not isinstance(a, Publish | Wait)]


def told(state: Snapshot) -> Outcome:
    (action,) = [a for a in acts(state) if isinstance(a, Tell)]
    return action.classified.outcome


def test_an_empty_experiment_asks_up_to_its_parallelism() -> None:
    assert acts(snapshot()) == [Ask(0), Ask(1)]


def test_fewer_places_than_parallelism_bound_the_asks() -> None:
    assert acts(snapshot(capacity=1)) == [Ask(0)]


def test_asks_stop_at_the_last_trial() -> None:
    """I4: three of four are numbered, so one more although two slots are free."""
    assert acts(snapshot(tally=Tally(numbered=3, complete=3))) == [Ask(3)]


def test_an_asked_trial_is_launched_and_never_asked_again() -> None:
    """I1: a trial without an attempt is launched with its stored parameters."""
    state = snapshot(trial(0), tally=Tally(numbered=1))
    assert acts(state) == [LaunchAttempt(AttemptKey(0, 0)), Ask(1)]


def test_a_recorded_attempt_that_its_place_does_not_know_is_the_same_attempt_again() -> None:
    state = snapshot(trial(0, attempt(0, phase=None)), tally=Tally(numbered=4))
    assert acts(state) == [LaunchAttempt(AttemptKey(0, 0))]


def test_what_may_wait_for_an_attempt_that_must_not_start_any_more_is_taken_back() -> None:
    """A Job of an earlier process whose Pod has not come yet would start it after the experiment's end."""
    state = snapshot(trial(0, attempt(0, phase=None)), spec=experiment(shutdown=True), tally=Tally(numbered=4))
    taken_back, tell = acts(state)
    assert taken_back == Delete(AttemptKey(0, 0))
    assert isinstance(tell, Tell) and tell.classified.outcome is Outcome.STOPPED
    there = trial(0, attempt(0, phase=None, absent=False))
    state = snapshot(there, spec=experiment(shutdown=True), tally=Tally(numbered=4))
    assert acts(state) == [taken_back], "told it would be nobody's, and nobody would take it back"


def test_a_running_attempt_is_left_alone() -> None:
    assert acts(snapshot(trial(0, attempt(0)), tally=Tally(numbered=4))) == []


def test_points_that_were_read_are_reported_before_anything_is_told() -> None:
    state = snapshot(trial(0, attempt(0, phase="ended"), unreported=3), tally=Tally(numbered=4))
    assert acts(state) == [Report(0, finished=True)]


def test_nothing_is_told_before_the_log_is_read_to_its_end() -> None:
    state = snapshot(trial(0, attempt(0, phase="ended", drained=False)), tally=Tally(numbered=4))
    assert acts(state) == []


def test_a_prune_verdict_stops_the_attempt_once() -> None:
    running = trial(0, attempt(0), verdict="prune")
    stopping = trial(0, attempt(0, stop="Pruned", stop_sent=NOW - 1), verdict="prune")
    full = Tally(numbered=4)
    assert acts(snapshot(running, tally=full)) == [Stop(AttemptKey(0, 0), "Pruned")]
    assert acts(snapshot(stopping, tally=full)) == []


def test_a_stop_that_is_not_seen_done_is_sent_again_and_not_before_its_time() -> None:
    """I9: an intent holds until its effect was seen, however often it has to be sent."""
    full, stop = Tally(numbered=4), Stop(AttemptKey(0, 0), "Stopped")
    for since, expected in [(RESEND_SECONDS - 0.1, []), (RESEND_SECONDS, [stop]), (9 * RESEND_SECONDS, [stop])]:
        sent = attempt(0, stop="Stopped", stop_sent=NOW - since)
        assert acts(snapshot(trial(0, sent), tally=full)) == expected
    assert sent.facts is not None
    under_way = replace(sent, facts=replace(sent.facts, stopping=True))
    assert acts(snapshot(trial(0, under_way), tally=full)) == []


def test_an_intent_is_made_durable_for_an_attempt_that_ends_already() -> None:
    """Its time is up, say; what is wanted of it must not be told from what is seen of it."""
    running = attempt(0)
    assert running.facts is not None
    under_way = replace(running, facts=replace(running.facts, stopping=True))
    state = snapshot(trial(0, under_way, verdict="prune"), tally=Tally(numbered=4))
    assert acts(state) == [Stop(AttemptKey(0, 0), "Pruned")]


def test_a_durable_intent_is_carried_out_again_after_a_restart() -> None:
    state = snapshot(trial(0, attempt(0, stop="Pruned"), verdict="prune"), tally=Tally(numbered=4))
    assert acts(state) == [Stop(AttemptKey(0, 0), "Pruned")]


@pytest.mark.parametrize(
    ("exit_fields", "stop", "verdict", "expected"),
    [
        ({"exit_code": 0}, None, "prune", Outcome.SUCCEEDED),
        ({"exit_code": 0}, "Pruned", "prune", Outcome.SUCCEEDED),
        ({"exit_code": 0}, "Stopped", "go", Outcome.SUCCEEDED),
        ({"exit_code": 0}, "Suspended", "go", Outcome.SUCCEEDED),
        ({"exit_code": 0}, "Deleted", "go", Outcome.SUCCEEDED),
        ({"exit_code": 0, "reason": "Pruned"}, "Pruned", "prune", Outcome.PRUNED),
        ({"exit_code": 0, "reason": "DeadlineExceeded"}, "Pruned", "prune", Outcome.PRUNED),
        ({"exit_code": 0, "reason": "Deleted"}, "Pruned", "prune", Outcome.PRUNED),
        ({"exit_code": 0, "reason": "Stopped"}, "Stopped", "go", Outcome.STOPPED),
        ({"exit_code": 1}, None, "prune", Outcome.PRUNED),
        ({"exit_code": 143}, "Pruned", "prune", Outcome.PRUNED),
        ({"reason": "NodeLost"}, "Pruned", "prune", Outcome.PRUNED),
    ],
)
def test_a_trial_counts_as_stopped_only_where_a_stop_reached_it(
    exit_fields: dict[str, object], stop: str | None, verdict: str, expected: Outcome
) -> None:
    """I8: what ended by itself with its objective is complete, whatever the pruner or the budget says of it."""
    ended = attempt(0, phase="ended", exit=exit_fields, stop=stop)
    assert told(snapshot(trial(0, ended, verdict=verdict), tally=Tally(numbered=4))) is expected


def test_a_pruned_trial_that_ended_by_itself_without_an_objective_is_told_pruned() -> None:
    ended = attempt(0, phase="ended")
    state = snapshot(trial(0, ended, verdict="prune", reading=NO_METRIC), tally=Tally(numbered=4))
    assert told(state) is Outcome.PRUNED


def test_a_verdict_on_the_first_of_several_runs_spares_the_others() -> None:
    """It did not come too late: the trial is not over with one run."""
    full = Tally(numbered=4)
    first = attempt(0, phase="ended")
    assert told(snapshot(trial(0, first, verdict="prune", repeats=3), tally=full)) is Outcome.PRUNED
    unread = trial(0, first, verdict="prune", repeats=3, unreported=1)
    assert acts(snapshot(unread, tally=full)) == [Report(0)]


def test_what_was_printed_after_a_verdict_waits_for_the_end() -> None:
    full = Tally(numbered=4)
    stopping = trial(0, attempt(0, stop="Pruned", stop_sent=NOW), verdict="prune", unreported=2)
    assert acts(snapshot(stopping, tally=full)) == []
    ended = attempt(0, phase="ended", stop="Pruned", exit={"exit_code": 143})
    assert acts(snapshot(trial(0, ended, verdict="prune", unreported=2), tally=full)) == [Report(0)]
    through = trial(0, attempt(0, phase="ended", stop="Pruned"), verdict="prune", unreported=2)
    assert acts(snapshot(through, tally=full)) == [Report(0, finished=True)]


def test_a_trial_that_is_judged_otherwise_is_stopped_at_once() -> None:
    """What it would still print cannot be compared with the others, however good."""
    other = replace(good_reading(), protocol="beef")
    assert acts(snapshot(trial(0, attempt(0), reading=other), tally=Tally(numbered=4))) == [
        Stop(AttemptKey(0, 0), "OtherProtocol")
    ]
    ended = attempt(0, phase="ended", exit={"exit_code": 143}, stop="OtherProtocol")
    assert told(snapshot(trial(0, ended, reading=other), tally=Tally(numbered=4))) is Outcome.OTHER_PROTOCOL


@pytest.mark.parametrize(
    ("exit_fields", "expected"),
    [
        ({"exit_code": 0}, Outcome.SUCCEEDED),
        ({"exit_code": 1}, Outcome.CRASHED),
        ({"exit_code": 137}, Outcome.KILLED),
        ({"signal": 9}, Outcome.KILLED),
        ({"signal": 11}, Outcome.CRASHED),
        ({"exit_code": 137, "reason": "OOMKilled"}, Outcome.OUT_OF_MEMORY),
        ({"signal": 15, "reason": "DeadlineExceeded"}, Outcome.TIMED_OUT),
        ({"reason": "StartError"}, Outcome.START_ERROR),
    ],
)
def test_outcomes_of_ended_attempts(exit_fields: dict[str, object], expected: Outcome) -> None:
    ended = attempt(0, phase="ended", exit=exit_fields)
    assert told(snapshot(trial(0, ended), tally=Tally(numbered=4))) is expected


def test_a_clean_exit_without_the_metric_is_no_success() -> None:
    """I8: no value is invented."""
    ended = trial(0, attempt(0, phase="ended"), reading=NO_METRIC)
    assert told(snapshot(ended, tally=Tally(numbered=4))) is Outcome.METRICS_UNAVAILABLE


@pytest.mark.parametrize(
    ("others", "tally"),
    [
        ((), Tally(numbered=4, started=True)),
        ((trial(1, attempt(1)),), Tally(numbered=4)),
        ((trial(1, attempt(1, phase="ended", drained=False)),), Tally(numbered=4)),
    ],
)
def test_a_template_that_has_started_once_is_not_what_keeps_an_attempt_from_starting(
    others: tuple[TrialView, ...], tally: Tally
) -> None:
    """One node, one pull that is throttled or one set of parameters must not end what has run for days."""
    ended = attempt(0, phase="ended", exit={"reason": "StartError", "message": "ErrImagePull: 429"})
    (action,) = acts(snapshot(trial(0, ended), *others, tally=tally))
    assert isinstance(action, LaunchAttempt) and action.key == AttemptKey(0, 1)
    assert action.after == Classified(Outcome.INFRASTRUCTURE, "could not be started: ErrImagePull: 429")


def test_attempts_that_all_failed_to_start_show_a_template_that_cannot() -> None:
    ended = attempt(0, phase="ended", exit={"reason": "StartError"})
    other = trial(1, attempt(1, phase="ended", exit={"reason": "StartError"}, drained=False))
    assert told(snapshot(trial(0, ended), other, tally=Tally(numbered=4))) is Outcome.START_ERROR


def test_a_first_start_that_fails_at_once_is_tried_again_before_the_template_is_blamed() -> None:
    """A node that restarts ends what it is just starting as a missing program does."""
    failed = {"reason": "StartError", "exit_code": 128}
    earlier = [past(n, Outcome.INFRASTRUCTURE, "StartError") for n in range(2)]
    for count in range(2):
        ended = trial(0, *earlier[:count], attempt(0, count, phase="ended", exit=failed))
        (action, *_) = plan(snapshot(ended, tally=Tally(numbered=4)), NOW + 60)
        assert isinstance(action, LaunchAttempt) and action.key == AttemptKey(0, count + 1)
    third = trial(0, *earlier, attempt(0, 2, phase="ended", exit=failed))
    assert told(snapshot(third, tally=Tally(numbered=4))) is Outcome.START_ERROR


@pytest.mark.parametrize("reading", [good_reading(), NO_METRIC], ids=["an old value", "no value"])
def test_a_value_that_may_be_an_old_one_is_never_the_trials(reading: Reading) -> None:
    ended = trial(0, attempt(0, phase="ended"), reading=replace(reading, lost=True))
    (action,) = acts(snapshot(ended, tally=Tally(numbered=4)))
    assert isinstance(action, LaunchAttempt) and action.after is not None
    assert action.after.outcome is Outcome.INFRASTRUCTURE and "could not be read" in action.after.message


def test_infrastructure_failures_are_retried_for_free() -> None:
    ended = attempt(0, phase="ended", exit={"reason": "Preempted"})
    (action,) = acts(snapshot(trial(0, ended), tally=Tally(numbered=4)))
    assert isinstance(action, LaunchAttempt)
    assert action.key == AttemptKey(0, 1)
    assert action.after == Classified(Outcome.INFRASTRUCTURE, "Preempted")


def test_free_retries_end_at_their_bound() -> None:
    earlier = [past(i, Outcome.INFRASTRUCTURE, "NodeLost") for i in range(FREE_RETRIES)]
    last = attempt(0, FREE_RETRIES, "ended", exit={"reason": "NodeLost"})
    state = snapshot(trial(0, *earlier, last), tally=Tally(numbered=4))
    assert told(state) is Outcome.INFRASTRUCTURE


@pytest.mark.parametrize("reason", sorted(DISPLACED_REASONS))
def test_whom_others_displace_is_tried_again_for_ever_and_not_at_once(reason: str) -> None:
    """A trial of low priority in a busy cluster is preempted every night for weeks."""
    for many in (FREE_RETRIES, 3_000):
        earlier = [past(i, Outcome.INFRASTRUCTURE, reason) for i in range(many)]
        state = snapshot(trial(0, *earlier, attempt(0, many, "ended", exit={"reason": reason})))
        assert not [a for a in plan(state, NOW + 59) if isinstance(a, LaunchAttempt)]
        assert [a.key for a in plan(state, NOW + 60) if isinstance(a, LaunchAttempt)] == [AttemptKey(0, many + 1)]
    lost = [past(many + i, Outcome.INFRASTRUCTURE, "NodeLost") for i in range(FREE_RETRIES - 1)]
    last = attempt(0, many + FREE_RETRIES, "ended", exit={"reason": "NodeLost"})
    assert [a for a in plan(snapshot(trial(0, *earlier, *lost, last)), NOW + 60) if isinstance(a, LaunchAttempt)]


def test_a_dead_runner_counts_against_no_bound() -> None:
    earlier = [past(i, Outcome.INFRASTRUCTURE, "RunnerDied") for i in range(50)]
    last = attempt(0, 50, "ended", exit={"reason": "RunnerDied"})
    assert isinstance(acts(snapshot(trial(0, *earlier, last)))[0], LaunchAttempt)


def test_own_failures_are_retried_as_often_as_the_policy_says() -> None:
    spec = experiment(retry_limit=1)
    crash = {"exit_code": 1}
    once = trial(0, attempt(0, 0, "ended", exit=crash))
    twice = trial(0, past(0, Outcome.CRASHED), attempt(0, 1, "ended", exit=crash))
    full = Tally(numbered=4)
    assert isinstance(acts(snapshot(once, spec=spec, tally=full))[0], LaunchAttempt)
    assert told(snapshot(twice, spec=spec, tally=full)) is Outcome.CRASHED


def test_out_of_memory_is_never_retried() -> None:
    ended = attempt(0, phase="ended", exit={"reason": "OOMKilled"})
    state = snapshot(trial(0, ended), spec=experiment(retry_limit=3), tally=Tally(numbered=4))
    assert told(state) is Outcome.OUT_OF_MEMORY


def test_told_attempts_are_forgotten() -> None:
    """I3: an attempt that belongs to no open trial has a durable outcome, and only then is deleted."""
    state = snapshot(strays=(AttemptKey(7, 1),), tally=Tally(numbered=4, complete=4))
    assert acts(state) == [Delete(AttemptKey(7, 1))]


@pytest.mark.parametrize(
    ("changes", "tally", "reason", "stops"),
    [
        ({}, Tally(numbered=4, complete=4), "ExperimentMaxTrialsReached", False),
        ({}, Tally(numbered=1, complete=1, goal_reached=True), "ExperimentGoalReached", True),
        ({"max_failed": 2}, Tally(numbered=2, failed=2), "ExperimentFailed", True),
        ({"max_failed": 0}, Tally(numbered=1, failed=1), "ExperimentFailed", True),
        ({"shutdown": True}, Tally(), "ExperimentShutdown", True),
        ({"budget": Budget(wall_clock=100)}, Tally(), "BudgetExhausted", True),
        (
            {"stop_when": StopWhen(no_improvement=3)},
            Tally(numbered=3, complete=1, since_improvement=3),
            "NoImprovement",
            True,
        ),
        ({}, Tally(numbered=1, failed=1, start_errors=1), "TemplateCannotStart", True),
        (
            {"max_trials": None},
            Tally(numbered=8, failed=8, identical_failures=IDENTICAL_FAILURES),
            "IdenticalFailures",
            True,
        ),
    ],
)
def test_how_experiments_end(changes: dict[str, object], tally: Tally, reason: str, stops: bool) -> None:
    state = snapshot(spec=experiment(**changes), tally=tally)
    end = stop_decision(state, NOW)
    assert end is not None
    assert (end.reason, end.stop_running) == (reason, stops)
    assert finished(state, NOW) == end
    assert not [a for a in acts(state) if isinstance(a, Ask)]


def test_max_failed_zero_without_failures_goes_on() -> None:
    assert stop_decision(snapshot(spec=experiment(max_failed=0)), NOW) is None


def test_a_spent_budget_stops_running_trials_and_tells_them_stopped() -> None:
    spec = experiment(budget=Budget(gpu_hours=0.002))  # 7.2 seconds; the attempt has run for ten
    running = snapshot(trial(0, attempt(0)), spec=spec, tally=Tally(numbered=1))
    assert acts(running) == [Stop(AttemptKey(0, 0), "Stopped")]
    ended = trial(0, attempt(0, phase="ended", stop="Stopped", exit={"signal": 15}))
    assert told(snapshot(ended, spec=spec, tally=Tally(numbered=1))) is Outcome.STOPPED


LATE = trial(1, attempt(1, phase="ended", drained=False))


@pytest.mark.parametrize(
    ("budget", "trials", "due"),
    [
        (Budget(wall_clock=100.25), (), 0.25),
        (Budget(wall_clock=100), (trial(0, attempt(0, stop="Stopped")),), IDLE_SECONDS),
        (Budget(gpu_hours=10.5 / 3600), (trial(0, attempt(0)),), 0.5),
        (Budget(gpu_hours=20.5 / 3600), (trial(0, attempt(0)), LATE), 0.5),
        (Budget(gpu_hours=10.5 / 3600), (LATE,), IDLE_SECONDS),
        (Budget(gpu_hours=10.5 / 3600), (trial(0, attempt(0, phase="pending")), LATE), IDLE_SECONDS),
        (Budget(gpu_hours=0.001), (trial(0, attempt(0, stop="Stopped")),), IDLE_SECONDS),
    ],
)
def test_only_a_budget_that_is_about_to_be_spent_is_waited_for(
    budget: Budget, trials: tuple[TrialView, ...], due: float
) -> None:
    """One that is spent would else be looked at ten times a second for as long as a Pod lingers."""
    state = snapshot(*trials, spec=experiment(budget=budget), tally=Tally(numbered=len(trials)))
    (wait,) = (action for action in plan(state, NOW) if isinstance(action, Wait))
    assert wait.until == pytest.approx(NOW + due)


def test_a_raised_count_takes_a_finished_experiment_up_again() -> None:
    tally = Tally(numbered=4, complete=4)
    assert finished(snapshot(tally=tally), NOW) is not None
    assert acts(snapshot(spec=experiment(max_trials=5), tally=tally)) == [Ask(4)]


def test_a_lowered_count_lets_what_runs_finish() -> None:
    state = snapshot(
        trial(0, attempt(0)),
        trial(1, attempt(1)),
        spec=experiment(max_trials=1, parallel=1),
        tally=Tally(numbered=2),
    )
    assert acts(state) == []


def test_suspension_drains_or_stops_as_its_policy_says() -> None:
    running = trial(0, attempt(0))
    drain = experiment(suspend=True)
    stop = experiment(suspend=True, suspend_policy="stop")
    assert acts(snapshot(running, spec=drain, tally=Tally(numbered=1))) == []
    assert acts(snapshot(running, spec=stop, tally=Tally(numbered=1))) == [Stop(AttemptKey(0, 0), "Suspended")]


def test_a_suspended_attempt_goes_on_for_free() -> None:
    ended = trial(0, attempt(0, phase="ended", stop="Suspended", exit={"signal": 15}))
    (action,) = acts(snapshot(ended, tally=Tally(numbered=4)))
    assert isinstance(action, LaunchAttempt)
    assert acts(snapshot(ended, spec=experiment(suspend=True), tally=Tally(numbered=4))) == []


def test_a_deleted_experiment_stops_its_trials_and_tells_them_as_failed() -> None:
    """The sampler learns nothing from them: somebody's wish to stop says nothing of the parameters."""
    running = snapshot(trial(0, attempt(0)), trial(1), deleted=True)
    actions = plan(running, NOW)
    assert Stop(AttemptKey(0, 0), "Deleted") in actions
    told = next(a for a in actions if isinstance(a, Tell))
    assert told.trial == 1 and told.classified.outcome is Outcome.DELETED
    ended = snapshot(trial(0, attempt(0, phase="ended", stop="Deleted", exit={"exit_code": 143})), deleted=True)
    assert [a.classified.outcome for a in plan(ended, NOW) if isinstance(a, Tell)] == [Outcome.DELETED]
    assert not any(isinstance(a, Ask | LaunchAttempt) for a in (*actions, *plan(ended, NOW)))


def test_from_the_second_free_retry_on_a_trial_waits_before_the_next() -> None:
    """A node that refuses every Pod at once must not use up a trial's free attempts within seconds."""
    refused = {"reason": "UnexpectedAdmissionError"}
    earlier = [past(i, Outcome.INFRASTRUCTURE, "UnexpectedAdmissionError") for i in range(3)]
    once = snapshot(trial(0, attempt(0, 0, "ended", exit=refused)), spec=experiment(max_trials=1))
    again = snapshot(trial(0, *earlier, attempt(0, 3, "ended", exit=refused)), spec=experiment(max_trials=1))
    assert launched(once, NOW) and not launched(again, NOW + 7.9) and launched(again, NOW + 8.0)


def launched(state: Snapshot, now: float) -> bool:
    return any(isinstance(a, LaunchAttempt) for a in plan(state, now))
