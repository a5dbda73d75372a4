"""The verbs as scripts and people use them: exit codes, JSON, pages, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path

import pytest
from typer.main import get_command

from kubetuna.cli.main import VERBS, app
from tests.local.runs import Runner, experiment, until
from tests.postgres_server import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
LOSS = "import os; print(f\"loss={float(os.environ['KUBETUNA_PARAM_X'])}\")"
HOSTILE = {
    "empty": "",
    "a scalar": "42",
    "a list": "[1, 2]",
    "no yaml": "{a: [",
    "tabs": "a:\n\t- b",
    "an alias bomb": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nspec: [*c, *c, *c]",
    "deep": "[" * 5000,
    "a python object": "!!python/object/apply:os.system ['true']",
    "control characters": "kind: \x07Experiment",
    "two documents": "a: 1\n---\nb: 2\n---\nc: 3",
    "another kind": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}",
    "spec is text": "apiVersion: kubetuna.dev/v1alpha1\nkind: Experiment\nmetadata: {name: a}\nspec: no",
    "names are numbers": "apiVersion: 1\nkind: 2\nmetadata: {name: 3}\nspec: {parameters: 4, objective: 5}",
    "null everywhere": "apiVersion: kubetuna.dev/v1alpha1\nkind: Experiment\nmetadata:\nspec:\n  parameters:\n  -",
}


@pytest.fixture
def small(tmp_path: Path) -> Runner:
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def test_help_has_the_verbs_in_the_order_of_the_table_and_the_reference_has_them_all() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert list(commands) == [*(verb.__name__ for verb in VERBS), "trial"]
    page = (EXAMPLES.parent / "docs" / "reference" / "commands.md").read_text()
    for name, command in commands.items():
        assert command.help and f"| `{name}" in page


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("verb", ["plan", "run", "migrate"])
def test_a_file_that_cannot_run_is_refused_in_words(small: Runner, verb: str, name: str) -> None:
    told = small.call(verb, str(small.write(HOSTILE[name])), code=2)
    assert told.strip() and len(told) < 5000
    assert not (small.folder / "study.db").exists(), "nothing may be made for a file that is refused"


def test_a_binary_or_missing_file_is_refused_in_words(small: Runner) -> None:
    (small.folder / "x.yaml").write_bytes(os.urandom(5000))
    assert "UTF-8" in small.call("plan", "x.yaml", code=2)
    assert "No such file" in small.call("plan", "absent.yaml", code=2)
    assert "directory" in small.call("plan", ".", code=2).lower()


def test_every_example_can_run(small: Runner) -> None:
    # One holds the volumes of another.
    found = [path for path in sorted(EXAMPLES.glob("*.yaml")) if "kind: Experiment" in path.read_text()]
    assert len(found) > 5
    for path in found:
        assert "can run" in small.call("plan", str(path))


def test_plan_names_each_field_with_its_path(small: Runner) -> None:
    space = [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 2, "max": 1}}]
    told = small.call("plan", str(small.write(experiment(LOSS, parameters=space, paralelTrialCount=2))), code=2)
    lines = told.strip().splitlines()
    assert any(line.startswith("spec.parameters[0].feasibleSpace") for line in lines)
    assert any(line.startswith("spec.paralelTrialCount: ") and "parallelTrialCount" in line for line in lines)


def test_the_report_is_written_at_the_end_and_again_on_demand(small: Runner) -> None:
    told = small.call("run", str(small.write(experiment(LOSS))))
    path = next(line.split(": ", 1)[1] for line in told.splitlines() if line.startswith("Report: "))
    assert "<html" in (small.folder / path).read_text()
    small.call("report", "small", "--out", "pages/mine.html")
    assert "small" in (small.folder / "pages/mine.html").read_text()
    assert json.loads(small.call("report", "small", "--json"))["report"] == path


def test_the_dashboard_shows_the_study_and_ends_with_an_interrupt(small: Runner) -> None:
    small.run(experiment(LOSS))
    port = free_port()
    process = small.start("dashboard", "--port", str(port))

    def studies() -> list[dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5) as answer:
                found: list[dict[str, object]] = json.load(answer)["study_summaries"]
                return found
        except OSError:
            return []

    until(lambda: bool(studies()))
    assert [study["study_name"] for study in studies()] == ["small"]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors and process.returncode in (0, 130)


def test_a_dashboard_without_a_store_says_what_to_do(small: Runner) -> None:
    assert "run it first" in small.call("dashboard", code=2)


def test_the_status_has_katibs_names_and_ours(small: Runner) -> None:
    status = small.run(experiment(LOSS))
    assert {
        "trials",
        "trialsSucceeded",
        "trialsFailed",
        "trialsEarlyStopped",
        "currentOptimalTrial",
    } <= status.keys()
    best = status["currentOptimalTrial"]
    assert {"bestTrialName", "parameterAssignments", "observation"} <= best.keys()
    assert {c["type"] for c in status["conditions"]} >= {"Created", "Running", "Succeeded", "Failed"}
    again = json.loads(small.call("status", "small", "--json"))
    assert again["currentOptimalTrial"] == best and again["trials"] == status["trials"]


def test_the_shipped_trainer_is_tuned_and_beats_its_baselines(small: Runner) -> None:
    """The main job, small: the example itself with two trials of a tenth of the budget."""
    text = (EXAMPLES / "experiment-task1.yaml").read_text()
    quick = text.replace("kubetuna_trial.task1]", 'kubetuna_trial.task1, --updates, "60", --rows, "20000"]')
    assert quick != text
    told = small.call("run", str(small.write(quick)), "--set", "maxTrialCount=2", "--set", "maxFailedTrialCount=0")
    assert "against buy and hold" in told and "against random" in told
    (name, *_rest) = [t["outcome"] for t in small.trials("task1")]
    assert name == "Succeeded"
    best = json.loads(small.call("best", "task1", "--json"))
    metrics = {m["name"]: float(m["latest"]) for m in best["observation"]["metrics"]}
    assert metrics["sharpe_ratio"] == best["values"][0]
    assert metrics["total_return"] > max(metrics[f"{n}_return"] for n in ("buy_and_hold", "flat", "random"))


def test_the_shipped_language_model_is_tuned_and_beats_its_baselines(small: Runner) -> None:
    """The same for Task 2: two trials that learn, on any processor, and from no day of the storm."""
    text = (EXAMPLES / "experiment-task2.yaml").read_text()
    quick = text.replace('min: "1e-6"', 'min: "7e-5"').replace('min: "20", max: "100"', 'min: "90", max: "100"')
    quick = quick.replace('min: "200", max: "300"', 'min: "200", max: "210"')
    assert quick.count("7e-5") == quick.count('min: "90"') == quick.count('max: "210"') == 1
    told = small.call("run", str(small.write(quick)), "--set", "maxTrialCount=2", "--set", "maxFailedTrialCount=0")
    assert "against buy and hold" in told and "against untuned" in told
    best = json.loads(small.call("best", "task2", "--json"))
    metrics = {m["name"]: float(m["latest"]) for m in best["observation"]["metrics"]}
    assert metrics["hit_rate"] >= max(metrics["untuned_hit_rate"], metrics["random_hit_rate"]) + 0.08
    others = ("buy_and_hold", "flat", "random", "untuned")
    assert metrics["cumulative_return"] > max(metrics[f"{name}_return"] for name in others)
