"""The Python face: what the guide promises, on results of every origin, and words for what cannot be done."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import optuna
import pytest

import kubetuna
from kubetuna import (
    HPOAnalyzer,
    HPOConfig,
    HPOIntegratedTrainer,
    HPOResultsManager,
    Task1HPOOptimizer,
    Task1HPOSearchSpace,
    compare_multiple_studies,
    create_hpo_dashboard,
    create_sqlite_storage,
)
from kubetuna.analysis.folder import write_results
from kubetuna.errors import KubetunaError, ResultsError, SpecError
from tests.report.studies import SEVERAL, failed_trial, study, trial
from tests.report.test_page import two_values
from tests.results.studies import plain_optuna, seen

MODULES = ("config", "spaces", "results_manager", "trainer", "analyzer")
SMALL = ["--updates", "16", "--rows", "12000", "--reports", "2"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBETUNA_STORE", raising=False)
    return tmp_path


@pytest.fixture
def results(folder: Path) -> Path:
    return write_results(seen(), folder / "hpo_experiments" / "task1_hpo_results")


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, kubetuna; print([m for m in ('optuna', 'numpy', 'sqlalchemy', 'plotly') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_name_is_there_and_documented_with_an_example() -> None:
    for name in kubetuna.__all__:
        words = getattr(kubetuna, name).__doc__
        assert any(mark in words for mark in (">>>", "::", "For example")), name
    assert set(kubetuna.__all__) <= set(dir(kubetuna))
    with pytest.raises(AttributeError, match="no attribute 'HPO'"):
        kubetuna.HPO  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name: str, results: Path) -> None:
    module = import_module(f"kubetuna.finrl.{name}")
    space = vars(module) | {n: getattr(kubetuna, n) for n in kubetuna.__all__}
    if name == "spaces":
        space |= vars(module)
    done = doctest.testmod(module, extraglobs=space)
    assert done.attempted and not done.failed


@pytest.mark.timeout(900)
def test_a_search_is_the_command_lines_own(folder: Path) -> None:
    """The guide's first lines, small: the same store, plan and runner, and an Optuna study at the end."""
    template = json.loads(json.dumps(Task1HPOOptimizer().experiment().raw["spec"]["trialTemplate"]))
    template["trialSpec"]["spec"]["containers"][0]["args"] = SMALL
    url = create_sqlite_storage("deep/studies.db")
    config = HPOConfig(n_trials=2, n_jobs=1, storage_url=url, sampler_type="random", seed=3, pruner_type="none")
    optimizer = Task1HPOOptimizer(config, metric="total_return", verbose=False, trialTemplate=template)
    made = optimizer.run_optimization()
    assert isinstance(made, optuna.Study) and len(made.trials) == 2 and made.study_name == "task1-total-return"
    found = HPOAnalyzer("hpo_experiments").task1_results
    assert found["best_params"] == made.best_params and found["value"] == made.best_value
    assert optimizer.run_optimization().best_value == made.best_value, "going on with a finished study does nothing"

    trainer = HPOIntegratedTrainer("hpo_experiments/task1_hpo_results", verbose=False)
    (model,) = trainer.train("ensemble_final")
    assert model.metrics["total_return"] == made.best_value, (
        "the same parameters, seed and data give the same model"
    )
    judged = trainer.evaluate("ensemble_final")
    assert judged["metrics"]["total_return"] == pytest.approx(made.best_value)
    assert {"linear", "buy_and_hold", "flat", "random", "untuned"} == judged["baselines"].keys()
    (other,) = trainer.train("other", learning_rate=1e-6)
    assert json.loads((other.folder / "training.json").read_text())["params"]["learning_rate"] == 1e-6
    with pytest.raises(ResultsError, match="holds a model of another training"):
        trainer.train("ensemble_final", learning_rate=1e-6)


def test_any_field_of_the_experiment_can_be_given() -> None:
    objective = {"type": "minimize", "objectiveMetricName": "max_drawdown"}
    spec = Task1HPOOptimizer(HPOConfig(n_trials=1), objective=objective, retryPolicy={"limit": 2}).experiment()
    assert spec.objectives[0].direction == "minimize" and spec.retry_limit == 2 and spec.parallel == 1
    assert Task1HPOOptimizer(HPOConfig(pruner_type="none")).experiment().pruner is None
    with pytest.raises(SpecError, match="n_trial"):
        Task1HPOOptimizer(n_trial=3).experiment()
    with pytest.raises(SpecError, match=r"did you mean .tpe"):
        Task1HPOOptimizer(HPOConfig(sampler_type="tepe")).experiment()


def test_the_search_space_drives_plain_optuna_too() -> None:
    made = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    space = Task1HPOSearchSpace()
    made.optimize(lambda t: len(space.suggest_parameters(t)), n_trials=20)
    for t in made.trials:
        agents = [n for n in t.params if n.startswith("agent_")]
        assert len(agents) == t.params["n_ensemble_agents"] and set(t.params) <= set(space.distributions())


MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "html": b"<!DOC"}


@pytest.mark.parametrize("ending", MAGIC)
def test_plots_in_every_format(folder: Path, results: Path, ending: str) -> None:
    path = HPOAnalyzer(results).create_optimization_plots("trading-ensemble", save_path=f"plots/p.{ending}")
    assert path.read_bytes().startswith(MAGIC[ending]) and path.stat().st_size > 10_000
    assert [p.name for p in path.parent.iterdir()] == [path.name]


ODD = {
    "one": study([trial(0)]),
    "equal": study([trial(n, 1.0) for n in range(12)]),
    "several objectives": study([trial(n, values=two_values(n / 3)) for n in range(12)], SEVERAL),
}


@pytest.mark.parametrize("name", ODD)
def test_plots_of_odd_studies(name: str) -> None:
    found = HPOAnalyzer(seen(ODD[name]))
    assert found.create_optimization_plots(found.names[0]).exists()


def test_what_cannot_be_drawn_is_told(results: Path) -> None:
    with pytest.raises(ResultsError, match=r'"\.png", "\.svg", "\.pdf", "\.html"'):
        HPOAnalyzer(results).create_optimization_plots("trading-ensemble", save_path="x.bmp")
    with pytest.raises(ResultsError, match="nothing to draw"):
        HPOAnalyzer(seen(study([failed_trial(0)]))).create_optimization_plots("trading-ensemble")
    with pytest.raises(ResultsError, match="there is trading-ensemble"):
        HPOAnalyzer(results).create_optimization_plots("task2")


def test_results_of_every_origin_are_read(folder: Path, results: Path) -> None:
    url = plain_optuna(folder / "o.db")
    in_memory = optuna.create_study(study_name="m")
    in_memory.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=3)
    for source, name in ((url, "theirs"), ("o.db", None), (in_memory, None), (("o.db", "theirs"), None)):
        found = HPOAnalyzer(source, name)  # type: ignore[arg-type]
        assert found.results(found.names[0])["best_params"]
    manager = HPOResultsManager()
    assert manager.save(url, study_name="theirs").name == "theirs_hpo_results"
    assert manager.list() == ["task1_hpo_results", "theirs_hpo_results"]
    assert manager.latest().spec.name == "theirs" and manager.latest("trading-ensemble").uid == "u1"
    text = HPOAnalyzer().generate_comparison_report("r.txt")
    assert "theirs" in text and "Not compared" in text and Path("r.txt").read_text() == text
    assert len(HPOAnalyzer().export_best_configurations("out")) == 2
    assert "theirs" in create_hpo_dashboard().read_text()


def test_comparing_studies_of_several_databases(folder: Path) -> None:
    plain_optuna(folder / "a.db", 20)
    plain_optuna(folder / "b.db", 12, "other")
    found = compare_multiple_studies([("a.db", "theirs"), ("b.db", "other")], metric_name="sharpe_ratio")
    assert found.metric == "sharpe_ratio" and len(found.studies) == 2


@pytest.mark.parametrize("source", ["absent", "absent.db", "sqlite:///absent.db"])
def test_what_is_not_there_is_told(source: str) -> None:
    with pytest.raises(KubetunaError, match="absent"):
        HPOAnalyzer(source)
