"""Without the extra ``analysis`` everything that tunes works; what draws says in one sentence what to install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.runs import Runner, experiment

LOSS = "import os; print(f\"loss={float(os.environ['KUBETUNA_PARAM_X'])}\")"
# An interpreter loads the module of this name when it starts; an import of what is None fails as if it were absent.
ABSENT = "import sys\nsys.modules.update(plotly=None, matplotlib=None)\n"
INSTALL = "needs an extra that is not installed: pip install 'kubetuna[analysis]'"
FROM_PYTHON = """
import kubetuna
from kubetuna.errors import BackendMissing

for name in kubetuna.__all__:
    getattr(kubetuna, name)
folder = kubetuna.HPOResultsManager("results").save("sqlite:///study.db", "small", "small")
print(sorted(path.name for path in folder.iterdir()))
analyzer = kubetuna.HPOAnalyzer("results")
print(analyzer.generate_comparison_report())
for draw in (
    lambda: analyzer.create_optimization_plots("small", "small.png"),
    lambda: analyzer.create_optimization_plots("small", "small.html"),
    lambda: kubetuna.create_hpo_dashboard("results"),
):
    try:
        draw()
    except BackendMissing as error:
        print(error)
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "sitecustomize.py").write_text(ABSENT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "absent"), os.environ.get("PYTHONPATH", "")]))
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def test_an_experiment_runs_to_its_end_and_says_how_to_get_the_report(bare: Runner) -> None:
    file = str(bare.write(experiment(LOSS)))
    assert "can run" in bare.call("plan", file)
    assert f"Report: not written; the report {INSTALL}" in bare.call("run", file)
    assert json.loads(bare.call("status", file, "--json"))["state"] == "Succeeded"
    assert len(bare.trials()) == 4
    assert json.loads(bare.call("best", file, "--json"))["values"] == [min(t["values"][0] for t in bare.trials())]
    assert "loss=" in bare.call("logs", file, "0")
    assert not list(bare.folder.rglob("*.html"))


def test_a_verb_that_draws_is_refused_and_one_that_counts_is_not(bare: Runner) -> None:
    file = bare.write(experiment(LOSS))
    bare.call("run", str(file))
    for verb in ("report", "analyze"):
        assert bare.call(verb, "small", code=1) == f"error: the report {INSTALL}\n"
    assert "loss" in bare.call("summary", "small")
    assert "best_config.json" in bare.call("export", "small")
    bare.call("run", str(bare.write(experiment(LOSS, "other"))))
    assert "other" in bare.call("compare", "small", "other")


def test_from_python_results_are_kept_and_drawing_is_refused(bare: Runner) -> None:
    bare.call("run", str(bare.write(experiment(LOSS))))
    told = subprocess.run(
        [sys.executable, "-c", FROM_PYTHON], cwd=bare.folder, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    files, *words = told.stdout.splitlines()
    assert "summary.json" in files and "report.html" not in files
    assert words[-3:] == [
        f"a picture {INSTALL}",
        f"the report {INSTALL}",
        f"the report {INSTALL}",
    ]
