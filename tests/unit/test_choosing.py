"""The choice of a winner: by what all runs say, re-tested where noise is high, and the same for whoever looks."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubetuna.experiment.automatic import retest_within
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.gaussian.belief import choice_of, outlook_of
from kubetuna.store.reader import read_study
from kubetuna.study.record import study_record
from kubetuna.terminal.preview import preview
from kubetuna.trials.attempts import AttemptRequest
from kubetuna.trials.choice import Choice, choice_line
from kubetuna.trials.records import TrialRecord
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World


class Program:
    """A bowl whose runs lie as far from it as ``noise`` says."""

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def __call__(self, launch: AttemptRequest) -> Run:
        draw = random.Random(f"{launch.key.trial} {launch.key.repeat}").gauss(0, self.noise)
        loss = (float(launch.params["x"]) - 0.3) ** 2 + draw  # type: ignore[arg-type]
        return Run((json.dumps({"step": 1, "loss": loss}).encode(),))


def world(noise: float, **fields: Any) -> World:
    return World(experiment("", **{"maxTrialCount": 40, "retest": "auto", **fields}), Program(noise))


def status_of(run: World) -> dict[str, Any]:
    return dict(study_record(read_study(run.database, run.spec.name), "").status)


def test_where_noise_is_high_a_re_test_takes_the_place_of_the_last_trials() -> None:
    run = world(1.0)
    run.finish()
    trials = run.stored()
    assert [t.retest_of is None for t in trials] == [True] * 34 + [False] * 2
    assert sum(len(t.repeats) or 1 for t in trials[34:]) == 40 * 15 // 100
    shown = status_of(run)
    again = {t.retest_of: t for t in trials[34:]}
    sums = {of: sum(r["loss"] for r in t.repeats) + (trials[of].values or (0,))[0] for of, t in again.items()}  # type: ignore[index]
    assert shown["currentOptimalTrial"]["retestOf"] == min(sums, key=lambda of: sums[of])
    assert (shown["choice"]["noise"], shown["state"]) == ("high", "Succeeded")
    run.close()


def test_where_noise_is_low_the_search_goes_on() -> None:
    run = world(0.0)
    run.finish()
    assert [t.retest_of for t in run.stored()] == [None] * 40
    shown = status_of(run)
    assert shown["currentOptimalTrial"]["number"] == shown["choice"]["trial"]
    assert (shown["choice"]["noise"], shown["message"]) == ("low", "40 trials were made")
    run.close()


@pytest.mark.parametrize("noise", [1.0, 0.0])
def test_a_runner_that_dies_again_and_again_decides_the_same(noise: float) -> None:
    once, often = world(noise, parallelTrialCount=1), world(noise, parallelTrialCount=1)
    once.finish()
    for turn in range(90):
        often.turn()
        if turn % 9 == 8:
            often.start()
    often.finish()
    assert [(t.params, t.retest_of) for t in often.stored()] == [(t.params, t.retest_of) for t in once.stored()]
    assert status_of(often)["choice"] == status_of(once)["choice"]
    once.close()
    often.close()


def test_a_search_that_ends_before_is_re_tested_too() -> None:
    run = world(1.0, stopWhen={"noImprovement": 12}, parallelTrialCount=1)
    end = run.finish()
    trials = run.stored()
    assert end.reason == "NoImprovement" and len([t for t in trials if t.retest_of is None]) < 34
    assert len([t for t in trials if t.retest_of is not None]) == 2
    run.close()


def test_more_trials_after_the_end_are_judged_anew() -> None:
    run = world(1.0)
    run.finish()
    run.spec = parse_file_text(experiment("", maxTrialCount=60, retest="auto"))
    run.start()
    run.finish()
    again = [t.retest_of for t in run.stored() if t.retest_of is not None]
    assert len([t for t in run.stored() if t.retest_of is None]) == 51 and len(again) == len(set(again)) > 2
    run.close()


@pytest.mark.parametrize(
    ("runs", "top", "repeats"),
    [(1, 0, 5), (26, 0, 5), (27, 2, 2), (40, 2, 3), (60, 3, 3), (100, 5, 3), (200, 10, 3), (500, 10, 7)],
)
def test_a_re_test_keeps_to_its_share(runs: int, top: int, repeats: int) -> None:
    found = retest_within(runs)
    assert (found.top, found.repeats, found.auto) == (top, repeats, True)


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        (
            100,
            "after 85 trials, where noise is high, the best 5 again, 3 seeds each, in place of the last 15 trials",
        ),
        (20, "none, since 15 % of 20 trials is too little"),
    ],
)
def test_a_plan_says_what_it_will_do(trials: int, words: str) -> None:
    assert words in repr(preview(parse_file_text(experiment("", maxTrialCount=trials, retest="auto"))))


SPEC = parse_file_text(experiment("", maxTrialCount=40, retest="auto"))


def trials(losses: Iterable[float], **fields: Any) -> Iterator[TrialRecord]:
    for number, value in enumerate(losses):
        params = {"x": (number * 0.37) % 1.0}
        made = TrialRecord(number, "COMPLETE", "Succeeded", params, (value,), {}, (), (), None, None, "", number)
        yield replace(made, **fields)


def rough(count: int = 30) -> list[float]:
    draw = random.Random(4)
    return [draw.gauss(0, 1) for _ in range(count)]


def winner(found: Choice | None) -> int:
    assert found is not None
    return found.winner


@pytest.mark.parametrize(
    "made",
    [
        [],
        list(trials([1.0])),
        list(trials([2.0] * 12)),
        list(trials([1.0, 2.0], state="FAIL", values=None)),
        list(trials([1.0, 2.0], state="PRUNED")),
        list(trials(rough(), feasible=False)),
        list(trials([float("nan"), float("inf"), float("-inf")])),
        list(trials([1.0, 2.0], params={"x": "far"})),
    ],
)
def test_where_nothing_can_be_chosen_nothing_is(made: list[TrialRecord]) -> None:
    assert choice_of(SPEC, made) is None


def test_a_space_of_one_point_has_no_choice() -> None:
    one = {
        "name": "x",
        "parameterType": "double",
        "feasibleSpace": {"list": [0.5]},
    }
    spec = parse_file_text(experiment("", parameters=[{**one, "parameterType": "discrete"}]))
    assert choice_of(spec, list(trials([1.0, 2.0], params={"x": 0.5}))) is None


def test_one_huge_value_hides_no_winner() -> None:
    values = [abs(t.params["x"] - 0.3) for t in trials(rough())]  # type: ignore[operator]
    found = choice_of(SPEC, list(trials([1e300, *values[1:]])))
    assert found is not None and found.winner == found.observed == values.index(min(values))
    assert 0 <= found.expected < 0.1


def test_runs_of_one_point_show_the_noise() -> None:
    found = choice_of(SPEC, list(trials(rough(), params={"x": 0.5})))
    assert found is not None and found.noisy and found.alike == 30


def test_a_value_that_is_none_is_passed_over() -> None:
    values = rough()
    assert winner(choice_of(SPEC, list(trials([*values, float("nan")])))) == winner(
        choice_of(SPEC, list(trials(values)))
    )


def test_pruned_and_infeasible_trials_do_not_win() -> None:
    made = list(trials([-9.0, -8.0, *rough()]))
    made[0], made[1] = replace(made[0], state="PRUNED"), replace(made[1], feasible=False)
    assert winner(choice_of(SPEC, made)) not in (0, 1)


def test_the_winner_is_not_the_luckiest() -> None:
    """In a bowl with one value far too good, away from where all others are best, the neighbours tell."""
    values = [(t.params["x"] - 0.3) ** 2 + 0.1 * rough()[t.number] for t in trials(rough())]  # type: ignore[operator]
    values[2] = -0.2
    found = choice_of(SPEC, list(trials(values)))
    assert found is not None and found.observed == 2 != found.winner


def test_re_tests_have_the_last_word() -> None:
    made = list(trials([0.0, 0.1, *(1 + abs(v) for v in rough())]))
    again = [
        replace(made[of], number=90 + of, ordinal=None, retest_of=of, values=(mean,), repeats=runs)
        for of, mean, runs in ((0, 1.0, ({"loss": 0.9}, {"loss": 1.1})), (1, 0.2, ({"loss": 0.1}, {"loss": 0.3})))
    ]
    found = choice_of(SPEC, [*made, *again])
    assert found is not None and found.ranked == (1, 0) and found.expected == pytest.approx(0.5 / 3)


def test_thousands_of_trials_cost_no_more() -> None:
    found = choice_of(SPEC, list(trials(rough(5000))))
    assert found is not None and len(found.ranked) == 50


def test_what_is_not_sure_is_said_with_its_price() -> None:
    run = World(experiment("", maxTrialCount=30), Program(1.0))
    run.finish()
    shown = status_of(run)
    assert shown["choice"]["noise"] == "high"
    text = choice_line(shown)
    assert "cannot be told apart; retest: {top: 5, repeats: 3} would cost about" in text and "slot-hours" in text
    run.close()


def test_a_search_ends_where_the_noise_hides_what_is_left_to_gain() -> None:
    run = world(0.3, maxTrialCount=90, retest=None, stopWhen={"regret": "auto"})
    end = run.finish()
    done = sum(t.state == "COMPLETE" for t in run.stored())
    assert end.reason == "LittleToGain" and 20 <= done < 90
    shown = status_of(run)
    assert "another one is expected to gain" in shown["message"] and "0.1 of the noise" in shown["message"]
    assert shown["state"] == "Succeeded"
    run.start()
    assert run.engine.observe().outlook is not None, "who starts again finds the same end"
    assert run.finish() == end
    run.close()


def test_a_search_goes_on_while_there_is_more_to_gain_than_was_asked() -> None:
    small, large = (world(0.3, retest=None, stopWhen={"regret": limit}) for limit in (1e-9, 5))
    assert small.finish().reason == "ExperimentMaxTrialsReached"
    assert large.finish().message.endswith("less than spec.stopWhen.regret 5")
    small.close()
    large.close()


@pytest.mark.parametrize(
    "made",
    [[], list(trials([2.0] * 20)), list(trials(rough(), feasible=False)), list(trials([float("nan")] * 20))],
)
def test_where_nothing_was_learned_more_is_expected(made: list[TrialRecord]) -> None:
    assert outlook_of(SPEC, made).share == outlook_of(SPEC, made).gain == float("inf")


@pytest.mark.parametrize(
    "made",
    [
        list(trials([1e300, *rough()])),
        list(trials(rough(), params={"x": 0.5})),
        list(trials([*rough(), float("nan")])),
        list(trials(rough(2000))),
    ],
)
def test_an_outlook_is_finite_and_the_same_again(made: list[TrialRecord]) -> None:
    found = outlook_of(SPEC, made)
    assert found == outlook_of(SPEC, made) and 0 <= found.share < float("inf") and 0 <= found.gain <= 1e301


def test_a_plan_says_when_a_search_ends() -> None:
    text = repr(preview(parse_file_text(experiment("", stopWhen={"regret": "auto"}))))
    assert "ends once another trial is expected to gain less than 0.1 of the noise" in text
