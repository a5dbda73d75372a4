"""A folder of results: everything comes back, people can read it, and damage is told by the file's name."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kubetuna.analysis.folder import read_results, results_under, trials_csv, write_results
from kubetuna.analysis.overview import write_overview
from kubetuna.errors import ResultsError
from tests.report.studies import SEVERAL, SINGLE, failed_trial, study, trial
from tests.report.test_page import two_values
from tests.results.studies import seen


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    made = seen()
    again = read_results(write_results(made, tmp_path / "r"))
    assert [t.as_json() for t in again.trials] == [t.as_json() for t in made.trials]
    assert [t.series for t in again.trials] == [t.series for t in made.trials]
    assert again.spec == made.spec
    assert (again.seed, again.uid, again.protocol, again.store) == (42, "u1", "abc", "sqlite:///x.db")
    assert again.status["currentOptimalTrial"] == made.status["currentOptimalTrial"]


def test_foreign_trials_and_infeasible_ones_stay_what_they_are(tmp_path: Path) -> None:
    trials = [trial(0, 1.0), trial(1, 5.0, feasible=False), trial(2, 9.0, ordinal=None, outcome=None)]
    again = read_results(write_results(seen(study(trials)), tmp_path / "r"))
    assert [t.feasible for t in again.trials] == [True, False, True]
    assert [t.own for t in again.trials] == [True, True, False]


def test_people_find_a_table_the_best_and_a_page(tmp_path: Path) -> None:
    folder = write_results(seen(), tmp_path / "r")
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 14 and rows[0]["learning_rate"] == "0.0001" and rows[13]["state"] == "FAIL"
    (config,) = folder.glob("*_best_config.json")
    best = json.loads(config.read_text())
    assert (
        float(rows[best["trial"]]["sharpe_ratio"])
        == best["value"]
        == max(float(r["sharpe_ratio"]) for r in rows if r["state"] == "COMPLETE")
    )
    assert "<html" in (folder / "report.html").read_text()


def test_a_cell_is_no_formula() -> None:
    hostile = trial(0, params={"agent": "=cmd|' /C calc'!A0"})
    assert "'=cmd" in trials_csv(seen(study([hostile])))


@pytest.mark.parametrize("name", ["trials.json", "experiment.yaml", "summary.json", "series.jsonl"])
@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\x00\xff", '{"a": []}'])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    folder = write_results(seen(), tmp_path / "r")
    (folder / name).write_text(text)
    if name == "series.jsonl" and text == "":
        assert not any(t.series for t in read_results(folder).trials)
        return
    with pytest.raises(ResultsError, match=r"r(/|:)"):
        read_results(folder)


@pytest.mark.parametrize("name", ["trials.json", "experiment.yaml"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_results(seen(), tmp_path / "r")
    (folder / name).unlink()
    with pytest.raises(ResultsError, match=f"{name}: cannot be read"):
        read_results(folder)


def test_a_folder_without_results_names_those_in_it(tmp_path: Path) -> None:
    write_results(seen(), tmp_path / "task1_hpo_results")
    with pytest.raises(ResultsError, match="it contains task1_hpo_results"):
        read_results(tmp_path)


def test_results_of_another_study_are_moved_aside(tmp_path: Path) -> None:
    """They may be found nowhere else, above all the record of a scored test."""
    folder = write_results(seen(final={"runs": [], "metric": "m"}), tmp_path / "r")
    write_results(seen(uid="u2"), folder)
    assert read_results(folder).uid == "u2" and read_results(folder).final is None
    (aside,) = [p for p in results_under(tmp_path) if p != folder]
    assert read_results(aside).final == {"runs": [], "metric": "m"}


def test_writing_again_keeps_the_record_of_the_test(tmp_path: Path) -> None:
    folder = write_results(seen(final={"runs": [], "metric": "m"}), tmp_path / "r")
    write_results(seen(), folder)
    assert read_results(folder).final == {"runs": [], "metric": "m"}


@pytest.mark.parametrize(
    "trials", [[], [failed_trial(0)], [trial(0, state="PRUNED", outcome="Pruned")], [trial(0)]], ids=len
)
def test_studies_without_a_winner_are_written_too(tmp_path: Path, trials: list) -> None:  # type: ignore[type-arg]
    again = read_results(write_results(seen(study(trials)), tmp_path / "r"))
    assert len(again.trials) == len(trials)


def test_several_objectives(tmp_path: Path) -> None:
    made = study([trial(n, values=two_values(n / 3)) for n in range(12)], SEVERAL)
    assert read_results(write_results(seen(made), tmp_path / "r")).spec.multi_objective


def test_the_overview_shows_what_can_be_read_and_names_what_cannot(tmp_path: Path) -> None:
    write_results(seen(), tmp_path / "task1_hpo_results")
    broken = write_results(replace(seen(), uid="u9"), tmp_path / "task2_hpo_results")
    (broken / "trials.json").write_text("{")
    page = write_overview(tmp_path).read_text()
    assert "trading-ensemble" in page and "task2_hpo_results/trials.json: is damaged" in page
    assert 'href="task1_hpo_results/report.html"' in page


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="kubetuna tune task1"):
        write_overview(tmp_path)
    with pytest.raises(ResultsError, match="holds no folder"):
        write_overview(tmp_path / "absent")


def test_the_overview_compares_what_can_be_compared(tmp_path: Path) -> None:
    write_results(seen(), tmp_path / "a")
    assert "Comparison by" not in write_overview(tmp_path).read_text()
    other = study([trial(n, 5.0 + n) for n in range(12)], SINGLE.replace("trading-ensemble", "other"))
    write_results(seen(other, uid="u2"), tmp_path / "b")
    write_results(seen(study([failed_trial(0)]), uid="u3"), tmp_path / "c")
    page = write_overview(tmp_path).read_text()
    assert "Comparison by sharpe_ratio" in page and "other is better than the others" in page


FINAL = {
    "metric": "sharpe_ratio", "direction": "maximize", "trial": 3, "looks": 1, "mean": 0.2, "interval": [0.1, 0.3],
    "baselines": {"buy_and_hold": 0.01, "flat": 0.0}, "validation": {"winner": 0.4, "mean": 0.3},
    "costs": [{"slippage": 0.0, "sharpe_ratio": 0.25}, {"slippage": 1e-4, "sharpe_ratio": -0.1}],
    "runs": [{"seed": 7, "metrics": {"sharpe_ratio": 0.15}}, {"seed": 8, "metrics": {"sharpe_ratio": 0.25}}],
}  # fmt: skip


def test_the_report_shows_what_the_held_out_test_said(tmp_path: Path) -> None:
    page = (write_results(seen(final=FINAL), tmp_path / "r") / "report.html").read_text()
    assert page.index("On the held-out test, scored once with 2 seeds") < page.index('id="test"')
    assert "buy and hold" in page and "At other trading costs" in page and "no longer unseen" not in page
    twice = (write_results(seen(final={**FINAL, "looks": 2}), tmp_path / "s") / "report.html").read_text()
    assert "no longer unseen" in twice
    begun = (write_results(seen(final={"runs": [], "metric": "m"}), tmp_path / "t") / "report.html").read_text()
    assert "was started but did not finish" in begun and 'id="test"' not in begun
