"""The verbs before and after a run: short for what the examples do, and words for what cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubetuna.finrl.shipped import task_experiment, tasks
from tests.local.runs import Runner, experiment
from tests.results.studies import plain_optuna

EXAMPLES = Path(__file__).parents[2] / "examples"
SHIPPED = Path(__file__).parents[2] / "core" / "kubetuna" / "finrl" / "shipped"
LOSS = "import os; print(f\"loss={float(os.environ['KUBETUNA_PARAM_X'])}\")"
CRASH = "raise SystemExit(3)"
READING = ("summary", "export", "analyze", "report", "status", "trials")


@pytest.fixture
def small(tmp_path: Path) -> Runner:
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def test_the_examples_of_the_tasks_are_the_packages_own_files() -> None:
    """A package takes files from its own folder only, and images are made of that folder alone."""
    carried = sorted(SHIPPED.glob("*.yaml"))
    assert [path.resolve() for path in sorted(EXAMPLES.glob("experiment-task*.yaml"))] == carried
    assert [path.stem.removeprefix("experiment-") for path in carried] == tasks() != []
    assert not any(path.is_symlink() for path in carried)


@pytest.mark.parametrize(
    ("task", "config", "trials"),
    [
        ("task1", "quick", 20), ("task1", "thorough", 200), ("task1", "production", 500),
        ("task2", "quick", 15), ("task2", "thorough", 100), ("task2", "production", 200),
    ],
)  # fmt: skip
def test_the_guides_counts(task: str, config: str, trials: int) -> None:
    assert task_experiment(task, config).max_trials == trials


def test_another_metric_is_another_study() -> None:
    spec = task_experiment("task1", "quick", "romad")
    assert spec.name == "task1-romad"
    assert spec.objectives[0].metric == "romad" and "sharpe_ratio" in spec.additional_metrics


def test_tune_leaves_a_folder_of_results_that_every_verb_reads(small: Runner) -> None:
    budget = 'trialTemplate.trialSpec.spec.containers[0].args=["--updates", "60", "--rows", "20000"]'
    words = ("tune", "task1", "--metric", "total_return", "--set", "maxTrialCount=2", "--set", budget)
    told = small.call(*words)
    folder = "hpo_experiments/task1_hpo_results"
    assert "Result: total_return = " in told and f"kubetuna train {folder}" in told
    best = json.loads((small.folder / folder / "task1_best_config.json").read_text())
    assert best["study"] == "task1-total-return" and best["value"] == best["metrics"]["total_return"]
    assert json.loads(small.call("summary", folder, "--json"))["best"]["best_params"] == best["best_params"]
    assert json.loads(small.call("best", folder, "--json"))["number"] == best["trial"]
    assert json.loads(small.call("best", "task1-total-return", "--json"))["number"] == best["trial"]
    small.call("export", folder, "--out", "production_configs")
    config = json.loads((small.folder / "production_configs" / "task1_best_config.json").read_text())
    assert config["best_params"] == best["best_params"]
    small.call("analyze", "hpo_experiments")
    assert "task1-total-return" in (small.folder / "hpo_experiments" / "dashboard.html").read_text()
    # Going on with a finished study does no work and changes nothing.
    assert small.call(*words).splitlines()[0] == told.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tune", "task9"), 'task: Unsupported value: "task9": supported values: "task1", "task2"'),
        (
            ("tune", "task1", "--config", "huge"),
            'config: Unsupported value: "huge": supported values: "quick",',
        ),
        (
            ("tune", "task1", "--metric", "sharp"),
            'metric: Unsupported value: "sharp": supported values: "sharpe_ratio"',
        ),
        (("tune", "task1", "--set", "x"), "PATH=VALUE"),
        (("tune", "task1", "--name", "42"), "metadata.name"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_starts(
    small: Runner, words: tuple[str, ...], told: str
) -> None:
    assert told in small.call(*words, code=2)
    assert not list(small.folder.iterdir())


@pytest.mark.parametrize("verb", READING)
def test_a_study_that_does_not_exist_names_the_nearest(small: Runner, verb: str) -> None:
    small.run(experiment(LOSS))
    assert "there is 'small'" in small.call(verb, "smal", code=2)
    assert "holds no" in small.call(verb, ".", code=1)


@pytest.mark.parametrize("verb", ["export", "best"])
def test_a_study_that_only_failed_has_no_best(small: Runner, verb: str) -> None:
    small.call("run", str(small.write(experiment(CRASH))), code=1)
    assert "no trial has completed" in small.call(verb, "small", code=1)
    assert "none yet" in small.call("summary", "small")


def test_the_export_of_a_chosen_trial(small: Runner) -> None:
    small.run(experiment(LOSS))
    small.call("export", "small", "--trial", "3", "--out", "c")
    assert json.loads((small.folder / "c" / "small_best_config.json").read_text())["trial"] == 3
    assert "no trial 99; it has 4" in small.call("export", "small", "--trial", "99", code=1)


def test_comparing_needs_two(small: Runner) -> None:
    small.run(experiment(LOSS))
    assert "takes two" in small.call("compare", "small", code=1)
    found = json.loads(small.call("compare", "small", "small", "--json"))
    assert found["metric"] == "loss" and "is not significant" in found["verdict"]


@pytest.mark.parametrize("verb", ["summary", "trials", "status", "best", "report", "export", "analyze"])
def test_a_study_of_plain_optuna_is_read_by_every_verb(small: Runner, verb: str) -> None:
    url = plain_optuna(small.folder / "other.db")
    assert small.call(verb, "theirs", "--store", url).strip()


def test_what_is_no_study_database_is_told(small: Runner) -> None:
    import sqlite3

    (small.folder / "x.db").write_text("no database at all, but long enough to be looked at" * 20)
    assert "is not a SQLite database" in small.call("summary", "a", "--store", "sqlite:///x.db", code=2)
    sqlite3.connect(small.folder / "empty.db").execute("create table t (a)").connection.commit()
    assert "no Optuna tables" in small.call("summary", "a", "--store", "sqlite:///empty.db", code=2)


def test_a_database_of_an_older_schema_is_told(small: Runner) -> None:
    import sqlite3

    url = plain_optuna(small.folder / "old.db")
    connection = sqlite3.connect(small.folder / "old.db")
    connection.execute("update alembic_version set version_num = 'v2.6.0.a'")
    connection.commit()
    told = small.call("summary", "theirs", "--store", url, code=2)
    assert "v2.6.0.a" in told and "optuna storage upgrade" in told
