"""Making models of results: the winner trained again, judged, and the held-out test scored once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kubetuna.errors import ResultsError
from kubetuna.finrl.shipped import task_experiment
from kubetuna.training.overrides import changes_of, overridden
from tests.local.runs import Runner, experiment

FOLDER = "hpo_experiments/task1_hpo_results"
SMALL = 'trialTemplate.trialSpec.spec.containers[0].args=["--updates", "16", "--rows", "12000", "--reports", "2"]'
LOSS = "import os; print(f\"loss={float(os.environ['KUBETUNA_PARAM_X'])}\")"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Two trials of the shipped example, and their folder of results."""
    folder = tmp_path_factory.mktemp("tuned")
    runner = Runner(folder, f"sqlite:///{folder}/study.db")
    narrow = "parameters[6].feasibleSpace.list=[128]", "parameters[10].feasibleSpace.list=[32]"
    sets = [word for change in (SMALL, "maxTrialCount=2", *narrow) for word in ("--set", change)]
    runner.call("tune", "task1", *sets, timeout=600)
    return runner


def test_the_winner_is_trained_to_what_it_reached_and_judged(tuned: Runner) -> None:
    best = json.loads((tuned.folder / FOLDER / "task1_best_config.json").read_text())
    shown = json.loads(tuned.call("train", FOLDER, "--save-path", "model", "--json", timeout=600))
    assert shown["params"] == best["best_params"]
    assert shown["runs"][0]["seed"] == best["seed"] and shown["runs"][0]["metrics"]["sharpe_ratio"] == best["value"]
    left = {p.name for p in (tuned.folder / "model").iterdir()}
    assert left >= {"README.md", "training.json", "curve.csv", "metrics.json", "ensemble.safetensors"}
    assert "checkpoints" not in left
    card = (tuned.folder / "model" / "README.md").read_text()
    assert "safetensors" in card and best["study"] in card and best["protocol"] in card
    assert "majority, then advantage, then keep" in card and "numpy" in card
    made = (tuned.folder / "model" / "ensemble.safetensors").stat().st_mtime_ns
    tuned.call("train", FOLDER, "--save-path", "model", timeout=600)
    assert (tuned.folder / "model" / "ensemble.safetensors").stat().st_mtime_ns == made, "it was trained already"
    judged = json.loads(tuned.call("evaluate", "model", "--json", timeout=600))
    assert judged["metrics"]["sharpe_ratio"] == best["value"] and judged["metric"] == "sharpe_ratio"
    assert "another training" in tuned.call("train", FOLDER, "--save-path", "model", "--gamma", "0.992", code=1)


def test_the_winner_is_handed_in(tuned: Runner) -> None:
    shown = json.loads(tuned.call("export", FOLDER, "--contest", "kit", "--json", timeout=600))
    best = json.loads((tuned.folder / FOLDER / "task1_best_config.json").read_text())
    assert shown["trial"] == best["trial"] and "config" not in shown, "the configuration is another wish"
    assert {Path(file).name for file in shown["files"]} >= {"act.pth", "config.json", "task1_trade.py"}
    assert all((tuned.folder / file).exists() for file in shown["files"])
    config = json.loads((tuned.folder / "kit" / "config.json").read_text())
    assert config["env_args"]["step_gap"] == best["best_params"]["step_gap"]
    assert "Wrote both/task1_best_config.json" in tuned.call("export", FOLDER, "--out", "both", "--contest", "kit")
    assert "runs only with --contest" in tuned.call("export", FOLDER, "--args", "--budget 9", code=1)


def test_a_model_of_no_contest_is_not_handed_in(tmp_path: Path) -> None:
    small = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    small.run(experiment("print('loss=1')", maxTrialCount=1))
    assert "leave no model for the contest" in small.call("export", "small", "--contest", "kit", code=1)


def test_the_best_trials_are_tested_again_with_further_seeds(tuned: Runner) -> None:
    shown = json.loads(tuned.call("retest", FOLDER, "--top", "2", "--seeds", "2", "--json", timeout=900))
    assert len(shown["trials"]) == 2
    for one in shown["trials"]:
        assert one["values"][0] == one["value"], "the trial's own seed gives the trial's own value"
        assert one["interval"][0] <= one["mean"] <= one["interval"][1]
    means = [one["mean"] for one in shown["trials"]]
    assert means == sorted(means, reverse=True)
    told = tuned.call("retest", FOLDER, "--top", "2", "--seeds", "2", timeout=900)
    assert f"trial {shown['trials'][0]['trial']} leads" in told, "nothing is trained twice"
    assert "must be at least 1" in tuned.call("retest", FOLDER, "--top", "0", code=1)


def test_the_best_trials_walk_forward(tuned: Runner) -> None:
    shown = json.loads(tuned.call("walkforward", FOLDER, "--folds", "2", "--top", "2", "--json", timeout=900))
    place = tuned.folder / FOLDER
    assert shown == json.loads((place / "walkforward.json").read_text())
    assert [len(one["values"]) for one in shown["trials"]] == [2, 2] and shown["rank_correlation"] is None
    assert shown["blocks"][0]["baselines"].keys() == {"linear", "buy_and_hold", "flat", "random", "untuned"}
    assert [block["span"] for block in shown["blocks"]] == ["rows 4,100 to 6,399", "rows 7,300 to 9,599"]
    values = [one["value"] for one in shown["trials"]]
    assert values == sorted(values, reverse=True), "the search's own order"
    model = place / "walkforward" / f"trial-{shown['trials'][0]['trial']}" / "fold-1-of-2"
    judged = json.loads(tuned.call("evaluate", str(model), "--json"))
    assert judged["metrics"]["sharpe_ratio"] == shown["trials"][0]["values"][0], "on its own fold's block"
    protocols = {json.loads(p.read_text())["protocol"] for p in place.glob("walkforward/trial-*/*/*/training.json")}
    best = json.loads((place / "task1_best_config.json").read_text())
    assert len(protocols) == 2 and best["protocol"] not in protocols, "a fold is never mixed with another"
    for one in shown["trials"]:
        assert [len(fold) for fold in one["seeds"]] == [2, 2] and len(one["folds"]) == 2
        for part in (one, *one["folds"]):
            assert part["interval"] and part["marketInterval"] and part["trainingInterval"]
        assert one["interval"][0] < one["mean"] < one["interval"][1]
    made = (model / "seed-1" / "ensemble.safetensors").stat().st_mtime_ns
    told = tuned.call("walkforward", FOLDER, "--folds", "2", "--top", "2", timeout=900)
    assert (model / "seed-1" / "ensemble.safetensors").stat().st_mtime_ns == made, "it was trained already"
    assert "at least 3 of them" in " ".join(told.split())
    assert shown["verdict"] in tuned.call("summary", FOLDER)
    assert 'id="walkforward"' in (place / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--folds", "1"), "folds: 1 is not allowed; it must be from 2 to 10"),
        (("--folds", "11"), "folds: 11 is not allowed"),
        (("--top", "0"), "top: 0 is not allowed"),
        (("--folds", "9"), "at least 2000 are needed: take at most 3 folds"),
    ],
)
def test_a_walk_that_cannot_be_is_told(tuned: Runner, words: tuple[str, ...], told: str) -> None:
    assert told in tuned.call("walkforward", FOLDER, "--save-path", "no-walk", *words, code=1)


def test_a_trainer_without_folds_cannot_walk_forward(tmp_path: Path) -> None:
    small = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    small.run(experiment("print('loss=1')", maxTrialCount=1))
    assert "its trainer knows no folds" in small.call("walkforward", "small", code=1)


def test_a_trainer_whose_models_nothing_scores_is_not_sent_to_evaluate(tmp_path: Path) -> None:
    small = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    small.run(experiment("print('loss=1')", maxTrialCount=1))
    told = small.call("train", "small", "--save-path", "model")
    assert "loss = 1 on validation" in told and "evaluate" not in told
    assert "evaluate knows those of kubetuna_trial.task1 and task2" in small.call("evaluate", "model", code=1)


def test_a_winner_is_not_trained_on_data_that_have_changed(tmp_path: Path) -> None:
    small, named = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db"), tmp_path / "protocol"
    named.write_text("abc")
    script = f"import json; print(json.dumps(dict(protocol=open({str(named)!r}).read()))); print('loss=1')"
    small.run(experiment(script, maxTrialCount=1))
    named.write_text("abd")
    told = " ".join(small.call("train", "small", "--save-path", "model", code=1).split())
    assert "have changed since its trials were judged (protocol abd in place of abc)" in told
    named.write_text("abc")
    assert "loss = 1 on validation" in small.call("train", "small", "--save-path", "model")


def test_the_held_out_test_is_scored_once(tuned: Runner) -> None:
    done = json.loads(tuned.call("finalize", FOLDER, "--seeds", "2", "--json", timeout=600))
    assert len(done["runs"]) == 2 and done["looks"] == 1 and len({r["seed"] for r in done["runs"]}) == 2
    assert done["interval"][0] <= done["mean"] <= done["interval"][1]
    assert done["baselines"].keys() == {"linear", "buy_and_hold", "flat", "random", "untuned"}
    assert "a second look would tune on it" in tuned.call("finalize", FOLDER, code=1)
    assert "a second look would tune on it" in tuned.call("finalize", "task1-sharpe-ratio", code=1)
    assert "held-out test, scored once" in tuned.call("summary", FOLDER)
    assert "held-out test, scored once" in (tuned.folder / FOLDER / "report.html").read_text()
    # The store alone remembers too.
    shutil.move(tuned.folder / FOLDER / "final.json", tuned.folder / "kept.json")
    assert "a second look would tune on it" in tuned.call("finalize", FOLDER, code=1)
    shutil.move(tuned.folder / "kept.json", tuned.folder / FOLDER / "final.json")
    again = json.loads(tuned.call("finalize", FOLDER, "--seeds", "2", "--again", "--json", timeout=600))
    assert again["looks"] == 2 and again["mean"] == done["mean"], "the models are there already"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--learning-rat", "1e-5"), "no parameter 'learning_rat'; did you mean 'learning_rate'?"),
        (("--learning-rate", "1"), "learning_rate: '1' is not allowed; it was searched as a number from 1e-06"),
        (("--learning-rate",), "--learning-rate: needs a value"),
        (("--agent-0", "PPO"), "allowed: D3QN, DoubleDQN, TwinD3QN"),
        (("--seeds", "0"), "must be from 1 to 100"),
        (("--trial", "9"), "no trial 9"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_starts(
    tuned: Runner, words: tuple[str, ...], told: str
) -> None:
    assert told in tuned.call("train", FOLDER, "--save-path", "never", *words, code=1)
    assert not (tuned.folder / "never").exists()


def test_an_interrupted_training_goes_on_with_one_curve(tmp_path: Path) -> None:
    """The trainer is asked to stop after its first report; the second reports the rest. Text changes neither."""
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    script = """
import json, os, pathlib, sys
place = pathlib.Path(os.environ["KUBETUNA_CHECKPOINT_DIR"])
place.mkdir(parents=True, exist_ok=True)
reported = len(list(place.iterdir()))
for step in range(reported + 1, 4):
    print(json.dumps({"step": step, "loss": 1 / step}), flush=True)
    print("patience=5 loss=99", flush=True)
    (place / str(step)).write_text("")
    if step == 1 and "final" in os.environ["KUBETUNA_OUT"]:
        sys.exit(143)
"""
    runner.run(experiment(script))
    assert "goes on from the last checkpoint" in runner.call("train", "small", code=130)
    done = json.loads(runner.call("train", "small", "--json"))
    assert done["runs"][0]["metrics"]["loss"] == pytest.approx(1 / 3)
    curve = (tmp_path / "small_final" / "curve.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in curve] == ["step", "1", "2", "3"]


def test_a_trainer_that_fails_says_why(tmp_path: Path) -> None:
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    script = LOSS + "; import sys; sys.exit('the disk is full' if 'final' in os.environ['KUBETUNA_OUT'] else 0)"
    runner.run(experiment(script))
    told = runner.call("train", "small", code=1)
    assert "exit code 1" in told and "the disk is full" in told
    assert "holds no model" in runner.call("evaluate", "small_final", code=1)


def test_overrides_keep_the_types_and_the_conditions() -> None:
    spec = task_experiment("task1")
    params = {"n_ensemble_agents": 3, "agent_2": "D3QN", "batch_size": 128, "gamma": 0.99, "foreign": 1}
    changed = overridden(spec, params, {"n_ensemble_agents": "2", "batch_size": "256"})
    assert changed == {"n_ensemble_agents": 2, "batch_size": 256, "gamma": 0.99, "foreign": 1}
    assert overridden(spec, params, {"gamma": "0.5"}, anywhere=True)["gamma"] == 0.5
    with pytest.raises(ResultsError) as told:
        overridden(spec, params, {"gamma": "x", "nothing": 1, "net_dims_0": 100})
    assert len(str(told.value).splitlines()) == 3


def test_words_of_a_command_line() -> None:
    assert changes_of(["--learning-rate", "1e-5", "--gamma=0.99"]) == {"learning_rate": "1e-5", "gamma": "0.99"}
    with pytest.raises(ResultsError, match="not an option"):
        changes_of(["x"])


def test_the_test_of_a_study_without_a_model_is_not_counted_as_scored(tmp_path: Path) -> None:
    small = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    small.run(experiment("print('loss=1')", maxTrialCount=1))
    for _ in range(2):
        assert "no model that kubetuna can score" in small.call("finalize", "small", code=1)
