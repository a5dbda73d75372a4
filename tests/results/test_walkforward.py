"""Walking forward: what it says of the winner and of the order, how it is kept, and how the page shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kubetuna.analysis.folder import read_results, write_report, write_results
from kubetuna.analysis.statistics.ranks import Order
from kubetuna.errors import ResultsError
from kubetuna.files import write_json
from kubetuna.finrl.baselines import folds_checks
from kubetuna.finrl.fold_results import RECORD, Block, WalkForward, from_json, verdict, walk_of
from kubetuna.finrl.walkforward import chosen_trials
from tests.report.studies import study, trial
from tests.results.studies import WALKED as STUDY
from tests.results.studies import seen, walk


def with_winner(*values: float) -> WalkForward:
    made = walk()
    return replace(made, trials=(replace(made.winner, values=values), *made.trials[1:]))


def test_a_winner_that_stays_ahead_and_an_order_that_holds() -> None:
    assert verdict(walk()) == (
        "In walk-forward, trial 5 stays ahead of buy and hold, flat in each of 3 folds; the order of the 4 trials "
        "from fold to fold holds (mean rank correlation 1.00; random orders reach that in 0.001 of cases)."
    )


def test_a_winner_that_falls_behind_once_or_always() -> None:
    assert "in 2 of 3 folds, but not in fold 2" in verdict(with_winner(0.3, -0.01, 0.1))
    assert with_winner(0.3, 0.0, 0.1).behind == (2,), "as much as doing nothing is not ahead of it"
    assert "in none of 3 folds" in verdict(with_winner(-1.0, -1.0, -1.0))


def test_less_is_better_where_the_objective_says_so() -> None:
    made = replace(with_winner(-0.1, -0.1, -0.1), direction="minimize")
    assert made.behind == () and made.worst((1.0, 3.0, 2.0)) == 3.0 and walk().worst((1.0, 3.0, 2.0)) == 1.0


def test_an_order_is_called_one_only_where_chance_hardly_makes_it() -> None:
    assert "is indistinguishable from chance" in verdict(walk(order=Order(0.9, 0.17)))
    assert "holds only roughly" in verdict(walk(order=Order(0.3, 0.01)))
    assert "do not differ" in verdict(walk(order=None))
    assert "needs at least 3 of them" in verdict(walk(trials=walk().trials[:2], order=None))


def test_without_a_baseline_in_the_metric_nothing_is_claimed() -> None:
    made = walk(blocks=tuple(Block("x", {}) for _ in range(3)))
    assert "has no baseline to beat in sharpe_ratio" in verdict(made)
    assert next(folds_checks(STUDY.view(), made)).mark == "note"


def test_the_check_says_whether_the_winner_stays_ahead_and_whether_it_is_still_the_winner() -> None:
    assert next(folds_checks(STUDY.view(), walk())).mark == "good"
    assert next(folds_checks(STUDY.view(), with_winner(0.3, -1.0, 0.1))).mark == "care"
    later = study([*STUDY.trials, trial(6, 9.0)]).view()
    first = next(folds_checks(later, walk()))
    assert first.mark == "note" and "Since then trial 6 became the best" in first.text


def test_what_is_kept_comes_back_with_the_results(tmp_path: Path) -> None:
    folder = write_results(seen(STUDY), tmp_path / "r")
    assert walk_of(read_results(folder)) is None and 'id="walkforward"' not in (folder / "report.html").read_text()
    write_json(folder / RECORD, walk().as_json())
    again = read_results(folder)
    assert walk_of(again) == walk() == from_json(json.loads(json.dumps(walk().as_json())))
    page = write_report(again, tmp_path / "elsewhere.html").read_text()
    assert page.index("stays ahead of buy and hold") < page.index('id="walkforward"') < page.index("rows 1,000 to")
    # The search goes on from the store, which knows nothing of the folder: the page keeps its section.
    assert 'id="walkforward"' in (write_results(seen(STUDY), folder) / "report.html").read_text()


def test_beside_the_runs_it_is_found_too_but_not_another_studys(tmp_path: Path) -> None:
    write_json(tmp_path / RECORD, walk().as_json())
    assert walk_of(seen(STUDY, folder=tmp_path)) == walk()
    assert walk_of(seen(STUDY, folder=tmp_path, uid="u2")) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"blocks": 3}', '{"blocks": [], "trials": []}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(ResultsError, match=r"walkforward\.json: "):
        walk_of(seen(STUDY, folder=tmp_path))


def test_hostile_words_of_a_record_stay_words(tmp_path: Path) -> None:
    text = "</script><img src=x onerror=alert(1)>"
    blocks = tuple(Block(text, {text: 0.0}) for _ in range(3))
    write_json(tmp_path / RECORD, walk(blocks=blocks, metric=text).as_json())
    page = write_report(seen(STUDY, folder=tmp_path), tmp_path / "report.html").read_text()
    assert "<img" not in page.partition("<script")[0]


def test_the_winner_walks_first_whoever_chose_it() -> None:
    made = seen(STUDY)
    assert [t.number for t in chosen_trials(made, 3)] == [5, 4, 3]
    retested = replace(made, status={**made.status, "currentOptimalTrial": {"number": 9, "retestOf": 3}})
    assert [t.number for t in chosen_trials(retested, 3)] == [3, 5, 4]
    assert [t.number for t in chosen_trials(retested, 1)] == [3]
    with pytest.raises(ResultsError, match="top: 0 is not allowed"):
        chosen_trials(made, 0)
