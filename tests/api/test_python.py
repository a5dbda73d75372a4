"""Run, plan and load from Python: the command line's runner and errors, and a study that is easy to look at."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

import kubetuna
from kubetuna.analysis.folder import write_results
from kubetuna.errors import BackendMissing, KubetunaError, SpecError
from kubetuna.study.record import StudyRecord
from tests.api import functions
from tests.local.runs import experiment, until
from tests.results.studies import plain_optuna

PROJECT = Path(__file__).parents[2]
LOSS = "import os; print(f\"loss={float(os.environ['KUBETUNA_PARAM_X'])}\")"
SPACE = {"x": (-10.0, 10.0)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBETUNA_STORE", raising=False)
    return tmp_path


def small(script: str = LOSS, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(experiment(script, **spec))
    return found


def test_the_reference_lists_the_public_names() -> None:
    assert kubetuna.__all__ == sorted(kubetuna.__all__)
    page = (PROJECT / "docs" / "reference" / "python.md").read_text()
    rows = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`(\w+)`", rows)) == kubetuna.__all__


def test_a_mapping_a_file_and_a_value_are_the_same_experiment(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    study = kubetuna.run(small(), maxTrialCount=2)
    assert [t.state for t in study.trials] == ["COMPLETE"] * 2 and study.best in study.trials
    assert capfd.readouterr() == ("", ""), "a library prints nothing unless asked"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    (folder / "small.yaml").write_text(experiment(LOSS))
    assert len(kubetuna.run("small.yaml", sets=["maxTrialCount=3"], progress=True).trials) == 3
    assert "3 trials ended" in capfd.readouterr().err
    assert len(kubetuna.run(study.spec, maxTrialCount=4).trials) == 4, "the same study goes on"
    other = kubetuna.run(study.spec, store="other.db", name="other", metric="loss", maxTrialCount=2)
    assert other.store == "sqlite:///other.db" and other.spec.name == "other"


def test_every_fault_of_a_mapping_is_told_at_once() -> None:
    wrong = small(paralelTrialCount=1, maxFailedTrialCount=-1)
    with pytest.raises(SpecError) as told:
        kubetuna.run(wrong, parameters={"x": (2, 1)})
    assert len(told.value.problems) == 3
    with pytest.raises(SpecError, match="JSON can express"):
        kubetuna.plan(small(), parallelTrialCount=object())
    with pytest.raises(SpecError, match="it is empty"):
        kubetuna.run({})
    with pytest.raises(SpecError, match="must be an Experiment"):
        kubetuna.plan([])  # type: ignore[arg-type]
    assert not Path("kubetuna.db").exists()


def test_as_many_at_once_as_a_queue_admits_are_all_of_them_on_one_machine() -> None:
    between = {"min": 1, "max": 3}
    shown = kubetuna.plan(small(), parallelTrialCount=between)
    assert (shown["parallelMin"], shown["parallel"], kubetuna.plan(small())["parallelMin"]) == (1, 3, None)
    text, note = repr(shown), "parallelTrialCount is its max, 3"
    assert "4 trials, 1 to 3 at a time" in text
    assert f"note: without queueName nothing holds trials back: {note}" in text
    queued = repr(kubetuna.plan(small(), parallelTrialCount=between, queueName="gpus"))
    assert f"with kubetuna run: there is no queue here: {note}" in queued and queued.count(note) == 1
    labelled = small(parallelTrialCount=between)
    labelled["spec"]["trialTemplate"]["trialSpec"]["metadata"] = {"labels": {"kueue.x-k8s.io/queue-name": "gpus"}}
    assert repr(kubetuna.plan(labelled)).count(note) == 1 and "without queueName" not in repr(
        kubetuna.plan(labelled)
    )
    study = kubetuna.run(small(), parallelTrialCount=between)
    assert [t.state for t in study.trials] == ["COMPLETE"] * 4


def test_a_plan_is_a_mapping_that_reads_well() -> None:
    shown = kubetuna.plan(small(), maxTrialCount=7)
    assert shown["trials"] == 7 and json.loads(json.dumps(shown)) == shown
    assert repr(shown).startswith("small: minimize loss\n")


SCRIPT = """
import kubetuna
SPEC = {spec}
try:
    kubetuna.run(SPEC)
except KeyboardInterrupt as error:
    raise SystemExit(f"interrupted: {{error}}")
"""


def test_an_interrupt_loses_nothing(folder: Path) -> None:
    wait = "import os, pathlib, time; time.sleep(0 if pathlib.Path('go').exists() else 60); "
    spec = small(wait + LOSS.removeprefix("import os; "))
    (folder / "script.py").write_text(SCRIPT.format(spec=spec))
    process = subprocess.Popen([sys.executable, "script.py"], stderr=subprocess.PIPE, text=True)
    until(lambda: (folder / "kubetuna.db").exists() and len(list(folder.glob("kubetuna-runs/*/*"))) >= 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.strip() == "interrupted: no work is lost: the same call resumes"
    (folder / "go").touch()
    study = kubetuna.run(spec)
    assert [t.state for t in study.trials] == ["COMPLETE"] * 4


def test_a_suspended_experiment_is_no_interrupt() -> None:
    assert kubetuna.run(small(), suspend=True).status["state"] == "Suspended"


def test_a_study_is_found_however_it_is_named(folder: Path) -> None:
    study = kubetuna.run(small(), maxTrialCount=2)
    (folder / "small.yaml").write_text(experiment(LOSS))
    write_results(study, folder / "results")
    (folder / "database").write_bytes((folder / "kubetuna.db").read_bytes())
    for source in (
        "small",
        "small.yaml",
        "results",
        "kubetuna.db",
        "database",
        "sqlite:///kubetuna.db",
        Path("results"),
    ):
        found = kubetuna.load(source)
        assert [t.params for t in found.trials] == [t.params for t in study.trials] and found.uid == study.uid
    plain_optuna(folder / "kubetuna.db")
    assert kubetuna.load("kubetuna.db", study_name="small").uid == study.uid
    assert kubetuna.load("theirs").best is not None
    with pytest.raises(KubetunaError, match=r"several studies \(small, theirs\); name one"):
        kubetuna.load("kubetuna.db")
    with pytest.raises(KubetunaError, match="there is 'small'"):
        kubetuna.load("smal")
    for nothing in ("", None, 5):
        with pytest.raises(KubetunaError, match="give its name"):
            kubetuna.load(nothing)  # type: ignore[arg-type]
    with pytest.raises(KubetunaError, match="in Python store="):
        kubetuna.load("small", store="elsewhere.db")
    for absent in ("absent.db", "a/b", Path("c"), "absent.yaml"):
        with pytest.raises(KubetunaError, match=str(absent)):
            kubetuna.load(absent)


def test_a_study_shows_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = kubetuna.run(small(), maxTrialCount=2)
    assert study.best is not None and study.front == (study.best,)
    assert re.match(r"<StudyRecord small: Succeeded, 2 trials, best: loss = 0\.\d+ \(trial \d\)>", repr(study))
    marked = replace(study, spec=replace(study.spec, name="<b>"))
    assert "<b>" not in marked._repr_html_() and "<td>" in study._repr_html_()
    assert "<html" in study.report("deep/page.html").read_text()
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows, columns: (columns, rows)))
    columns, rows = study.to_dataframe()
    assert columns == ["trial", "state", "outcome", "loss", "x", "seconds"] and len(rows) == 2
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BackendMissing, match="pip install pandas"):
        study.to_dataframe()


def test_a_study_without_a_best() -> None:
    study = kubetuna.run(small("raise SystemExit(3)", maxTrialCount=1))
    assert study.best is None and study.front == () and "best: none yet" in repr(study)


def test_functions_are_tuned() -> None:
    made = kubetuna.run(
        functions.square, parameters={**SPACE, "layers": (1, 3)}, objective="minimize loss", maxTrialCount=2
    )
    assert made.spec.name == "square" and made.best is not None and made.best.values is not None
    assert made.best.values[0] == pytest.approx(functions.square(**made.best.params))
    stepwise = kubetuna.run(functions.curve, parameters=SPACE, objective="minimize loss", maxTrialCount=1)
    assert stepwise.best is not None and [step for step, _ in stepwise.best.steps] == [1, 2, 3]
    nested = kubetuna.run(
        functions.Model.score, parameters=SPACE, objective="maximize accuracy", name="model", maxTrialCount=1
    )
    assert nested.best is not None and nested.spec.objectives[0].direction == "maximize"


def test_a_function_of_two_objectives_has_a_front() -> None:
    goals = [{"metric": "cost", "direction": "minimize"}, {"metric": "error", "direction": "minimize"}]
    study = kubetuna.run(functions.pair, parameters={"x": (0.0, 1.0)}, objectives=goals, maxTrialCount=3)
    assert study.best is None and {t.number for t in study.front} == {0, 1, 2}


def test_the_short_form_of_a_search_space() -> None:
    space = {
        "rate": {"min": 1e-5, "max": 0.1, "distribution": "logUniform"},
        "layers": (1, 4),
        "optimizer": ["adam", "sgd"],
        "momentum": {"min": 0.0, "max": 1.0, "when": "optimizer == 'sgd'"},
    }
    shown = kubetuna.plan(functions.square, parameters=space, objective="minimize loss", maxTrialCount=1)
    assert [p["type"] for p in shown["space"]] == ["double", "int", "categorical", "double"]
    assert shown["space"][0]["log"] and shown["space"][3]["when"] == "optimizer == 'sgd'"
    with pytest.raises(SpecError, match=r"spec.parameters\[0\].feasibleSpace"):
        kubetuna.plan(functions.square, parameters={"x": 3}, objective="minimize loss", maxTrialCount=1)


def test_what_no_process_can_import_is_refused() -> None:
    def inner(x: float) -> float:
        return x

    for function in (inner, lambda x: x, [].append):
        with pytest.raises(KubetunaError, match=r"top level of a \.py file"):
            kubetuna.run(function, parameters=SPACE, objective="minimize loss", maxTrialCount=1)


UNGUARDED = """
import kubetuna
def loss(x):
    return x
{guard}print(kubetuna.run(loss, parameters={{"x": (0.0, 1.0)}}, objective="minimize loss", maxTrialCount=1))
"""


@pytest.mark.parametrize("guard", ["if __name__ == '__main__':\n    ", ""])
def test_a_script_tunes_its_own_function_behind_a_guard(folder: Path, guard: str) -> None:
    (folder / "my-script.py").write_text(UNGUARDED.format(guard=guard))
    told = subprocess.check_output([sys.executable, "my-script.py"], text=True)
    assert ("Succeeded" in told) == bool(guard)
    if not guard:
        (log,) = folder.glob("kubetuna-runs/*/**/*log*")
        assert 'if __name__ == "__main__":' in log.read_text()


def test_an_optuna_study_is_loaded_too() -> None:
    theirs = optuna.create_study(study_name="m")
    theirs.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=3)
    found = kubetuna.load(theirs)
    assert isinstance(found, StudyRecord) and found.best is not None and found.best.params == theirs.best_params
