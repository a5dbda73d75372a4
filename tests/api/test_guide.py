"""The contest's guide: each of its programs runs as printed, and changed as the reference page says.

The trainers have no weight; nothing else is left out.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import kubetuna
from kubetuna import HPOConfig, Task1HPOOptimizer
from kubetuna.cli.keeping import keeper
from kubetuna.cli.main import app
from kubetuna.errors import SpecError
from kubetuna.finrl import guide
from kubetuna.finrl.shipped import COUNTS, document

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "guide.md"
GUIDE = Path(__file__).with_name("guide.txt")
# The guide's studies have these names, which its searches leave to chance and to the day.
NAMED = ("task1_thorough_hpo_20231120_143022", "task1_production_hpo_20231121_090000", "task1_production_hpo")
ELSEWHERE = ("pip", "optuna-dashboard")
AS_PRINTED, OWN_COMMANDS = "## As printed", "## By kubetuna's own commands"
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


def changed(text: str, way: str) -> str:
    """The guide's text, changed as the page says in one of its parts."""
    part = PAGE.read_text().partition(way)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(.+?)` \| (?:`(.+?)` )?\|$", part, re.MULTILINE)
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
                _ends(lambda words=words: app(words))
            case ["python", "-c", program]:
                exec(program, space)
            case ["python", file, *words]:
                _ends(lambda file=file, words=words: _run_file(file, words))
            case ["pip", *words] if "-r" in words:
                _install(words)
                elsewhere.append("pip")
            case [word, *_] if word in ELSEWHERE:
                elsewhere.append(word)
            case [_, *_]:
                exec(line, space)
    return elsewhere


def _ends(program: Callable[[], object]) -> None:
    with pytest.raises(SystemExit) as ended:
        program()
    assert ended.value.code == 0


def _run_file(file: str, words: list[str]) -> None:
    sys.argv = [file, *words]
    runpy.run_path(file, run_name="__main__")


def _install(words: list[str]) -> None:
    """By the real pip, without an index: it refuses a file that it cannot read, and what is not installed here."""
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words, "--no-index"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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


@pytest.fixture
def printed(light: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the guide's own files, as a shell in it would find them."""
    monkeypatch.delenv("KUBETUNA_STORE")
    # The guide's programs are given a GPU, which stays in this process's environment.
    monkeypatch.setenv(guide.GPUS, "")
    monkeypatch.setattr(sys, "argv", ["guide"])
    monkeypatch.syspath_prepend(str(light))
    guide.main()
    known = set(sys.modules)
    yield light
    for name in set(sys.modules) - known:
        if name.partition(".")[0] in {Path(path).parts[0].removesuffix(".py") for path in guide.contents()}:
            del sys.modules[name]


@pytest.mark.timeout(300)
def test_every_program_of_the_guide_runs_as_printed(printed: Path) -> None:
    for name in NAMED[:2]:
        _ends(lambda name=name: _run_file("task1_hpo.py", ["--name", name]))
    _runs(AS_PRINTED, printed)


@pytest.mark.timeout(300)
def test_every_program_of_the_guide_runs_by_own_commands(light: Path) -> None:
    for name in NAMED:
        _ends(lambda name=name: app(["tune", "task1", "--name", name]))
    _runs(OWN_COMMANDS, light)


def _runs(way: str, folder: Path) -> None:
    blocks = re.findall(r"```(bash|python)\n(.*?)```", changed(GUIDE.read_text(), way), re.DOTALL)
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
    assert (folder / "task1_analysis.png").exists() and (folder / "ensemble_final" / "README.md").exists()


@pytest.mark.parametrize(
    ("program", "words", "verb"),
    [
        ("task1_hpo", "--config thorough --metric romad", "tune task1 --config thorough --name task1_thorough_hpo "
         "--store sqlite:///task1_hpo.db --metric romad"),
        ("task2_hpo", "--name mine --store sqlite:///a.db --set budget.gpuHours=4", "tune task2 --config quick "
         "--name mine --store sqlite:///a.db --set budget.gpuHours=4"),
        ("task1_ensemble_hpo_integrated", "0 --save-path x --batch-size 256", "train "
         "hpo_experiments/task1_hpo_results --save-path x --batch-size 256"),
        ("task1_ensemble_hpo_integrated", "--batch-size 256 0", "train hpo_experiments/task1_hpo_results "
         "--batch-size 256 0"),
        ("task1_ensemble_hpo_integrated", "--hpo-results=r --show-hpo-summary --json", "summary r --json"),
        ("task1_eval", "--ensemble-path e --split train", "evaluate e --split train"),
        ("hpo_utils", "", "analyze hpo_experiments"),
        ("hpo_utils", "folder --out page.html", "analyze folder --out page.html"),
        ("hpo_utils", "--out page.html --json", "analyze hpo_experiments --out page.html --json"),
        ("hpo_utils", "--out page.html -n space folder", "analyze --out page.html -n space folder"),
        ("task1_eval", "--help", "evaluate --help"),
    ],
)  # fmt: skip
def test_nothing_that_a_program_is_given_is_dropped(
    program: str, words: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBETUNA_STORE", raising=False)
    monkeypatch.setenv(guide.GPUS, "3,5")
    assert guide.PROGRAMS[program](words.split()) == verb.split()


@pytest.mark.parametrize(
    ("given", "first", "chosen"), [(None, "1", "1"), ("3,5", "1", "5"), ("3,5", "-1", ""), ("", "0", "")]
)
def test_the_first_number_is_a_gpu(
    given: str | None, first: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(guide.GPUS, given or "")
    if given is None:
        monkeypatch.delenv(guide.GPUS)
    assert guide.PROGRAMS["task1_eval"]([first, "--ensemble-path", "e"]) == ["evaluate", "e"]
    assert os.environ[guide.GPUS] == chosen


@pytest.mark.parametrize("words", [["2", "--ensemble-path", "e"], ["0"]])
def test_what_a_program_lacks_is_said(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(guide.GPUS, "3,5")
    with pytest.raises(SystemExit) as ended:
        guide.PROGRAMS["task1_eval"](words)
    assert ended.value.code == 2
    assert re.search("GPU 2 is not among the 2|required: --ensemble-path", capsys.readouterr().err)


def test_a_program_names_the_command_that_refuses_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["task1_hpo.py", "--config", "quick", "--trials-n", "3"])
    with pytest.raises(SystemExit) as ended:
        guide.run("task1_hpo")
    told = capsys.readouterr().err
    assert ended.value.code == 2 and "Usage: kubetuna tune" in told and "No such option: --trials-n" in told


def test_files_of_another_guide_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "task1_hpo.py").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["guide", str(tmp_path)])
    with pytest.raises(SystemExit):
        guide.main()
    assert [path.name for path in tmp_path.iterdir()] == ["task1_hpo.py"]


def _settings(found: Mapping[str, Any], field: str) -> dict[str, Any]:
    return {s["name"]: s["value"] for s in found[field]["algorithmSettings"]}


def test_nothing_that_a_configuration_gives_is_dropped() -> None:
    shipped = {**document("task1")["spec"], "budget": {"gpuHours": "4"}}
    config = HPOConfig(
        seed=5, sampler_settings={"gamma": 0.1}, pruner_settings={"n_warmup_steps": 3}, timeout=60, n_jobs=3
    )
    found = config.changes(shipped)
    assert found["algorithm"]["algorithmName"] == "tpe" and found["earlyStopping"]["algorithmName"] == "percentile"
    assert _settings(found, "algorithm") == {"seed": 5, "n_startup_trials": "10", "gamma": 0.1}
    assert _settings(found, "earlyStopping") == {"percentile": "75", "n_startup_trials": "5", "n_warmup_steps": 3}
    assert found["budget"] == {"gpuHours": "4", "wallClock": "60s"}, "the example's own budget stays"
    assert Task1HPOOptimizer(HPOConfig(seed=5)).experiment().algorithm.seed == 5
    assert HPOConfig().changes(shipped) == {}, "what is not given is as in the example"
    other = HPOConfig(sampler_type="random", seed=5).changes(shipped)
    assert _settings(other, "algorithm") == {"seed": 5}, "another sampler does not take the example's settings"
    with pytest.raises(SpecError, match='pruner_settings: Forbidden: pruner_type is "none"'):
        HPOConfig(pruner_type="none", pruner_settings={"n_warmup_steps": 7}).changes(shipped)


def test_studies_that_are_one_name_to_kubernetes_are_two_to_the_store(light: Path) -> None:
    url = os.environ["KUBETUNA_STORE"]
    for name in ("my-study", "my_study"):
        _ends(lambda name=name: app(["tune", "task1", "--name", name]))
    _, keep, _, _ = keeper("my_study", kubetuna.load("my_study", store=url), None, None)
    keep({"looks": 1, "seen": []})
    kept = {name: kubetuna.load(name, store=url).final for name in ("my-study", "my_study")}
    assert kept == {"my-study": None, "my_study": {"looks": 1, "seen": []}}


@pytest.mark.parametrize("name", ["my_study", "My Study", "2024_run", "x" * 80])
def test_any_study_name_is_an_experiments(name: str) -> None:
    spec = Task1HPOOptimizer(HPOConfig(study_name=name), metric="Total Return").experiment()
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", spec.name) and spec.objectives[0].metric == "total_return"


def test_a_name_that_means_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"metadata\.name"):
        Task1HPOOptimizer(HPOConfig(study_name="___")).experiment()
    with pytest.raises(SpecError, match="metric"):
        Task1HPOOptimizer(metric="Sharp Ratio").experiment()
