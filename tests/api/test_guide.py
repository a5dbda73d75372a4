"""The contest's guide: each of its programs runs, changed as the reference page says, on trainers of no weight."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import kubetuna
from kubetuna import HPOConfig, Task1HPOOptimizer
from kubetuna.cli.main import app
from kubetuna.errors import SpecError
from kubetuna.finrl.shipped import COUNTS, document

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "guide.md"
GUIDE = Path(__file__).with_name("guide.txt")
# The guide's studies have these names, which its searches leave to chance and to the day.
NAMED = ("task1_thorough_hpo_20231120_143022", "task1_production_hpo_20231121_090000", "task1_production_hpo")
ELSEWHERE = ("pip", "optuna-dashboard")
TRAINER = """
import json, os, pathlib, sys
own = {name: 0.5 for name in ("sharpe_ratio", "total_return", "romad", "cumulative_return", "mean_reward")}
if "evaluate" in sys.argv:
    print(json.dumps({"tuned": own, "untuned": own, "split": "validation"}))
else:
    out = pathlib.Path(os.environ["KUBETUNA_OUT"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "ensemble.json").write_text("{}")
    print(json.dumps({"step": 1, **own}))
"""


def changed(text: str) -> str:
    """The guide's text, changed as the page says."""
    rows = re.findall(r"^\| `(.+?)` \| (?:`(.+?)` )?\|$", PAGE.read_text(), re.MULTILINE)
    text = re.sub(r" *\\\n *", " ", text)
    for old, new in rows:
        assert old in text, f"the guide has no {old}"
        text = text.replace(old, new)
    return text


def run_block(kind: str, text: str, space: dict[str, Any]) -> list[str]:
    """Run a block; the programs in it that are none of ours."""
    if kind == "python":
        exec(text, space)
        return []
    elsewhere = []
    for line in re.split(r'\n(?=(?:[^"]*"[^"]*")*[^"]*$)', text):
        match shlex.split(line, comments=True):
            case ["kubetuna", *words]:
                _command_line(words)
            case ["python", "-c", program]:
                exec(program, space)
            case [word, *_] if word in ELSEWHERE:
                elsewhere.append(word)
            case [_, *_]:
                exec(line, space)
    return elsewhere


def _command_line(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(words)
    assert ended.value.code == 0, words


@pytest.fixture
def light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where a trainer takes no time and every configuration has two trials."""
    for task in COUNTS:
        package = tmp_path / "light" / "kubetuna_trial" / task
        package.mkdir(parents=True)
        (package / "__main__.py").write_text(TRAINER)
        # Without these it would be a namespace, which the real trainers come before wherever they lie.
        for folder in (package, package.parent):
            (folder / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "light"))
    monkeypatch.setenv("KUBETUNA_STORE", "sqlite:///task1_hpo.db")
    for task, counts in COUNTS.items():
        monkeypatch.setitem(COUNTS, task, dict.fromkeys(counts, 2))  # type: ignore[index]
    return tmp_path


@pytest.mark.timeout(300)
def test_every_program_of_the_guide_runs(light: Path) -> None:
    for name in NAMED:
        _command_line(["tune", "task1", "--name", name])
    blocks = re.findall(r"```(bash|python)\n(.*?)```", changed(GUIDE.read_text()), re.DOTALL)
    space: dict[str, Any] = {}
    left: list[str] = []
    for kind, text in blocks:
        # Each program is one by itself: two of them train another winner into the same folder.
        shutil.rmtree("ensemble_optimized", ignore_errors=True)
        left += run_block(kind, text, space)
    assert len(blocks) == 15 and set(left) == set(ELSEWHERE)
    assert space["study"].study_name == "task1_production_hpo" and not space["failed_trials"]
    assert kubetuna.load("custom_optimization", store="custom_hpo.db").spec.name == "custom-optimization"
    assert kubetuna.load("custom-optimization", store="custom_hpo.db").spec.max_trials == 50
    assert (light / "task1_analysis.png").exists() and (light / "ensemble_final" / "README.md").exists()


def _settings(found: Mapping[str, Any], field: str) -> dict[str, Any]:
    return {s["name"]: s["value"] for s in found[field]["algorithmSettings"]}


def test_nothing_that_a_configuration_gives_is_dropped() -> None:
    shipped = {**document("task1")["spec"], "budget": {"gpuHours": "4"}}
    config = HPOConfig(
        seed=5, sampler_settings={"gamma": 0.1}, pruner_settings={"n_warmup_steps": 7}, timeout=60, n_jobs=3
    )
    found = config.changes(shipped)
    assert found["algorithm"]["algorithmName"] == "tpe" and found["earlyStopping"]["algorithmName"] == "median"
    assert _settings(found, "algorithm") == {"seed": 5, "n_startup_trials": "10", "gamma": 0.1}
    assert _settings(found, "earlyStopping") == {"n_startup_trials": "5", "n_warmup_steps": 7}
    assert found["budget"] == {"gpuHours": "4", "wallClock": "60s"}, "the example's own budget stays"
    assert Task1HPOOptimizer(HPOConfig(seed=5)).experiment().algorithm.seed == 5
    assert HPOConfig().changes(shipped) == {}, "what is not given is as in the example"
    other = HPOConfig(sampler_type="random", seed=5).changes(shipped)
    assert _settings(other, "algorithm") == {"seed": 5}, "another sampler does not take the example's settings"
    with pytest.raises(SpecError, match='pruner_settings: Forbidden: pruner_type is "none"'):
        HPOConfig(pruner_type="none", pruner_settings={"n_warmup_steps": 7}).changes(shipped)


@pytest.mark.parametrize("name", ["my_study", "My Study", "2024_run", "x" * 80])
def test_any_study_name_is_an_experiments(name: str) -> None:
    spec = Task1HPOOptimizer(HPOConfig(study_name=name), metric="Total Return").experiment()
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", spec.name) and spec.objectives[0].metric == "total_return"


def test_a_name_that_means_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"metadata\.name"):
        Task1HPOOptimizer(HPOConfig(study_name="___")).experiment()
    with pytest.raises(SpecError, match="metric"):
        Task1HPOOptimizer(metric="Sharp Ratio").experiment()
