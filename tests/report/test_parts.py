"""What the parts of the page decide: kinds, axes, times, importance, reliability checks."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from kubetuna.analysis.report import kinds
from kubetuna.analysis.report.axes import value_axis
from kubetuna.analysis.report.checks import checks, range_position
from kubetuna.analysis.report.cost import section as cost
from kubetuna.analysis.report.history import section as history
from kubetuna.analysis.report.importance import TRIALS_NEEDED, importances
from kubetuna.analysis.report.kinds import attempt_kind, trial_kind
from kubetuna.analysis.report.view import thinned
from kubetuna.experiment.model import Objective
from kubetuna.finrl.baselines import baseline_checks
from kubetuna.trials.records import AttemptRecord
from tests.report.studies import SEVERAL, START, UNPRUNED, failed_trial, many, study, trial

HIGHER = Objective("score", "maximize")
LOWER = Objective("loss", "minimize")


@pytest.mark.parametrize(
    ("state", "outcome", "kind"),
    [
        ("COMPLETE", "Succeeded", kinds.COMPLETE),
        ("COMPLETE", None, kinds.COMPLETE),
        ("PRUNED", "Pruned", kinds.PRUNED),
        ("PRUNED", None, kinds.PRUNED),
        ("PRUNED", "Stopped", kinds.STOPPED),
        ("PRUNED", "OutOfMemory", kinds.FAILED),
        ("FAIL", "Suspended", kinds.STOPPED),
        ("FAIL", "Crashed", kinds.FAILED),
        ("FAIL", "SomethingNewer", kinds.FAILED),
        ("RUNNING", None, kinds.OPEN),
        ("WAITING", None, kinds.OPEN),
    ],
)
def test_what_became_of_a_trial(state: str, outcome: str | None, kind: kinds.Kind) -> None:
    assert trial_kind(trial(0, state=state, outcome=outcome)) is kind


def test_a_trial_against_a_constraint_is_told_apart() -> None:
    assert trial_kind(trial(0, feasible=False)) is kinds.INFEASIBLE


def test_a_retried_attempt_failed_though_its_trial_did_not() -> None:
    attempts = (
        AttemptRecord(0, START, started=START, ended=START + 1, outcome="Infrastructure"),
        AttemptRecord(1, START, started=START + 2, ended=START + 3, outcome=None),
    )
    record = trial(0, attempts=attempts)
    assert [attempt_kind(record, a) for a in attempts] == [kinds.FAILED, kinds.COMPLETE]


def test_thinning_keeps_ends_order_and_what_it_must() -> None:
    items = [object() for _ in range(100)]
    found = thinned(items, 10, items[50:51])
    assert found[0] is items[0] and found[-1] is items[-1] and items[50] in found
    assert found == sorted(found, key=items.index) and len(found) <= 11
    assert thinned(items, 100) == items


def test_one_diverged_trial_does_not_flatten_the_others() -> None:
    axis = value_axis(LOWER, [-1.0, *(n / 10 for n in range(20)), 1e9])
    assert "1 far worse value." in axis.note and axis.layout["range"][1] < 100
    axis = value_axis(HIGHER, [*(n / 10 for n in range(20)), -1e9])
    assert "1 far worse value." in axis.note and axis.layout["range"][0] > -100


def test_the_best_value_is_never_left_out() -> None:
    axis = value_axis(HIGHER, [*(n / 10 for n in range(20)), 1e9])
    low, high = axis.layout.get("range", (-1, 1e12))
    assert low <= 1e9 <= high


def test_values_over_many_magnitudes_are_on_a_logarithmic_axis() -> None:
    assert value_axis(LOWER, [1e-6, 1.0]).layout["type"] == "log"
    assert "type" not in value_axis(LOWER, [-1e-6, 1.0]).layout


def test_places_between_the_ends_of_a_range() -> None:
    rate = next(p for p in study([]).spec.parameters if p.name == "learning_rate")
    assert [range_position(rate, v) for v in (1e-6, 1e-3, -1, "x")] == [0.0, pytest.approx(1.0), None, None]


def test_an_open_attempt_lasts_until_now() -> None:
    [table] = cost(study(many(1), generated=START + 501).view()).blocks
    assert "8 min 20 s" in str(table), "it started a second after the search"


def test_a_trial_of_another_program_has_spent_its_own_time() -> None:
    foreign = trial(0, ordinal=None, outcome=None, attempts=())
    [table] = cost(study([foreign, trial(1)]).view()).blocks
    assert '<td class="num">2</td><td class="num">1 min 0 s</td><td class="num">100%</td>' in str(table)


def test_the_best_so_far_only_improves() -> None:
    [chart] = history(study(many(80)).view()).blocks
    assert not isinstance(chart, str)
    line = next(t for t in chart.data if t["name"] == "best so far")
    assert list(line["y"]) == sorted(line["y"])


def test_importance_finds_the_planted_parameters() -> None:
    found = importances(study(many(400)).view(), 0)
    shares = {i.name: i.share for i in found}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert {i.name for i in found if i.real} >= {"learning_rate", "n_agents"}
    assert shares["learning_rate"] > shares["gamma"]


def test_importance_judges_a_conditional_parameter_where_it_exists() -> None:
    made = study(many(400))
    agent = next(i for i in importances(made.view(), 0) if i.name == "agent")
    assert agent.trials == sum(1 for t in made.view().eligible if "agent" in t.params)


def test_importance_of_noise_is_called_luck() -> None:
    rng = random.Random(3)
    noise = [replace(t, values=(rng.random(),)) for t in many(200) if t.state == "COMPLETE"]
    real = [i.name for i in importances(study(noise).view(), 0) if i.real]
    assert len(real) <= 1


def test_importance_needs_trials_and_differences() -> None:
    few = [trial(n, float(n)) for n in range(TRIALS_NEEDED - 1)]
    assert importances(study(few).view(), 0) == ()
    assert importances(study([trial(n, 1.0) for n in range(30)]).view(), 0) == ()


def test_importance_passes_over_trials_of_another_space() -> None:
    made = many(60)
    odd = replace(trial(60, 1.0), params={"learning_rate": 5.0, "unknown": 1})
    assert importances(study([*made, odd]).view(), 0)


def test_importance_of_each_of_several_objectives() -> None:
    made = many(100, values=lambda v: (v, -v))
    view = study(made, SEVERAL).view()
    assert [i.name for i in importances(view, 0)] == [i.name for i in importances(view, 1)]


def marks(trials: list[Any], text: str = UNPRUNED) -> dict[str, str]:
    return {c.text: c.mark for c in checks(study(trials, text).view())}


def told(trials: list[Any], words: str) -> str | None:
    return next((mark for text, mark in marks(trials).items() if words in text), None)


def test_baselines_speak_for_or_against_the_result() -> None:
    metrics = {"total_return": 0.02, "buy_and_hold_return": 0.01, "random_return": 0.03}
    found = {c.text: c.mark for c in baseline_checks(study([trial(0, metrics=metrics)]).view())}
    assert [mark for text, mark in found.items() if "beats buy and hold" in text] == ["good"]
    assert [mark for text, mark in found.items() if "does not beat random" in text] == ["care"]
    assert len(found) == 2


def test_few_trials_call_for_care() -> None:
    assert told([trial(0)], "due to chance") == "care"
    assert told([trial(n, float(n)) for n in range(20)], "a coarse search") == "note"


def test_a_lone_outlier_calls_for_care() -> None:
    close = [trial(n, float(n)) for n in range(12)]
    assert told(close, "not an outlier") == "good"
    assert told([*close, trial(12, 1000.0)], "is an outlier") == "care"
    assert told([trial(n, 1.0) for n in range(12)], "made no difference") == "care"


def test_a_best_value_at_the_end_of_a_range_calls_for_care() -> None:
    params = {**trial(0).params, "learning_rate": 1e-3, "n_agents": 4}
    assert told([trial(0, params=params)], "learning_rate = 0.001") == "care"
    assert told([trial(0, params=params)], "n_agents = 4") is None
    assert told([trial(0)], "At a limit") is None


def test_a_late_best_calls_for_care() -> None:
    assert told([trial(n, float(n)) for n in range(20)], "still improving") == "care"
    assert told([trial(n, -float(n)) for n in range(20)], "19 later trials did not improve") == "good"


def test_many_failures_call_for_care() -> None:
    trials = [trial(n, float(n)) for n in range(10)]
    assert told([*trials, failed_trial(10)], "1 of 11 trials failed (Crashed)") == "note"
    assert told([*trials, *(failed_trial(n) for n in range(10, 20))], "10 of 20 trials failed") == "care"
