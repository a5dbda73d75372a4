"""Comparing studies, and reading those of plain Optuna."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from kubetuna.analysis.best_config import best_trial
from kubetuna.analysis.comparison import compare
from kubetuna.analysis.folder import read_results, write_results
from kubetuna.analysis.summary import summary, summary_text
from kubetuna.errors import ResultsError, SpecError
from kubetuna.local.runner import look_by_name
from kubetuna.study.record import StudyRecord
from tests.report.studies import SEVERAL, SINGLE, study, trial
from tests.results.studies import plain_optuna, seen


def named(name: str, values: list[float], text: str = SINGLE) -> StudyRecord:
    return seen(study([trial(n, v) for n, v in enumerate(values)], text.replace("trading-ensemble", name)))


def test_the_best_of_some_draws_worked_by_hand() -> None:
    # Of 1, 2, 3, 4 two draws: P(best <= k) = (k / 4) ** 2 = 1/16, 4/16, 9/16, 1: the median is 3.
    found = compare([named("a", [4, 1, 3, 2]), named("b", [0, 0])]).studies[0]
    assert (found.study, found.of, found.likely, found.best, found.best_trial) == ("a", 2, 3.0, 4.0, 0)
    assert (found.low, found.high) == (1.0, 4.0) and found.median == 2.5


def test_a_large_study_is_no_better_for_being_large() -> None:
    same = [math.sin(n * 12.9898) for n in range(200)]
    found = compare([named("large", same), named("small", same[:20])])
    assert "not significant" in found.verdict
    assert {c.of for c in found.studies} == {20}


def test_the_better_one_is_told_in_both_directions() -> None:
    low, high = [n / 100 for n in range(20)], [1 + n / 100 for n in range(20)]
    found = compare([named("low", low), named("high", high)])
    assert [c.study for c in found.studies] == ["high", "low"] and found.studies[1].chance < 0.01
    assert "high is better" in found.verdict
    minimized = SINGLE.replace("maximize", "minimize")
    turned = compare([named("low", low, minimized), named("high", high, minimized)])
    assert [c.study for c in turned.studies] == ["low", "high"]


def test_equal_studies_have_even_chances() -> None:
    found = compare([named("a", [1, 2, 3]), named("b", [1, 2, 3])])
    assert all(c.chance == pytest.approx(0.5) for c in found.studies)


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(ResultsError, match="no single objective in common"):
        compare([named("a", [1]), seen(study([trial(0, values=(1.0, 2.0))], SEVERAL))])
    with pytest.raises(ResultsError, match="others minimize"):
        compare([named("a", [1]), named("b", [1], SINGLE.replace("maximize", "minimize"))])
    with pytest.raises(ResultsError, match="'romad'; it knows sharpe_ratio"):
        compare([named("a", [1]), named("b", [1])], "romad:maximize")
    with pytest.raises(SpecError, match="needs a direction: romad:minimize or romad:maximize"):
        compare([named("a", [1]), named("b", [1])], "romad")
    with pytest.raises(ResultsError, match="others minimize"):
        compare([named("a", [1]), named("b", [2])], "sharpe_ratio:minimize")
    with pytest.raises(ResultsError, match="no completed trial"):
        compare([named("a", [1]), named("b", [])])


def test_a_study_of_plain_optuna_is_analysed_as_ours(tmp_path: Path) -> None:
    url = plain_optuna(tmp_path / "o.db")
    found = look_by_name("theirs", url)
    assert [p.name for p in found.spec.parameters] == ["kind", "x", "n"]
    assert found.status["trialsSucceeded"] == 10 and found.status["trialsFailed"] == 1
    assert best_trial(found).values == (
        max(t.values[0] for t in found.trials if t.state == "COMPLETE" and t.values),
    )
    assert found.trials[0].metrics["loss"] == pytest.approx(1 - found.trials[0].params["x"])
    text = summary_text(summary(found, "theirs", 0.0))
    assert "value = " in text and "kubetuna train" not in text
    again = read_results(write_results(found, tmp_path / "r"))
    assert again.spec == found.spec and len(again.trials) == 12


def test_a_study_of_plain_optuna_is_compared_by_the_name_that_is_asked_for(tmp_path: Path) -> None:
    theirs = look_by_name("theirs", plain_optuna(tmp_path / "o.db"))
    found = compare([named("ours", [100.0, 101.0]), theirs], "sharpe_ratio")
    assert [c.study for c in found.studies] == ["ours", "theirs"]


def test_without_a_single_best_the_reason_is_told() -> None:
    several = seen(study([trial(0, values=(1.0, 2.0))], SEVERAL))
    with pytest.raises(ResultsError, match=r"several objectives \(sharpe_ratio, max_drawdown\).*--trial"):
        best_trial(several)
    pruned = [trial(n, 0.1, state="PRUNED", outcome="Pruned") for n in range(3)]
    with pytest.raises(ResultsError, match=r"no trial has completed with a valid value.*3 pruned"):
        best_trial(seen(study(pruned)))
    with pytest.raises(ResultsError, match="no trial has started"):
        best_trial(seen(study([])))


def test_the_summary_of_every_kind_of_study_is_words() -> None:
    pruned = [trial(n, 0.1, state="PRUNED", outcome="Pruned") for n in range(3)]
    for made in (study([]), study(pruned), study([trial(0)]), study([trial(0, values=(1.0, 2.0))], SEVERAL)):
        text = summary_text(summary(seen(made), "x", 0.0))
        assert "Result" in text and "Reliability checks" in text and "None" not in text
