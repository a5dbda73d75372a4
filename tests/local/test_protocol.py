"""Trials of a study are judged alike: one that names another protocol of evaluation is refused."""

from __future__ import annotations

import json
from pathlib import Path

from tests.local.runs import Runner, experiment

# The third trial's data have changed under its feet.
CHANGED = """
import json, os
trial = int(os.environ["KUBETUNA_TRIAL"])
print(json.dumps({"protocol": "b" if trial == 2 else "a", "data": "x"}))
for step in (1, 2):
    print(json.dumps({"step": step, "loss": -100 if trial == 2 else float(os.environ["KUBETUNA_PARAM_X"])}))
"""
SILENT = CHANGED.replace('"b" if trial == 2 else "a"', '"a"').replace("print(json", "if trial != 1: print(json", 1)
HANGING = CHANGED.replace("for step", "if trial == 2: __import__('time').sleep(600)\nfor step").replace(
    '"x"}))', '"x"}), flush=True)'
)


def small(tmp_path: Path) -> Runner:
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def test_a_trial_with_another_protocol_is_refused_and_teaches_nothing(tmp_path: Path) -> None:
    runner = small(tmp_path)
    runner.run(experiment(CHANGED, parallelTrialCount=1))
    trials = runner.trials("small")
    assert [t["outcome"] for t in trials] == ["Succeeded", "Succeeded", "OtherProtocol", "Succeeded"]
    assert trials[2]["state"] == "FAIL" and trials[2]["steps"] == [] and "protocol b" in trials[2]["message"]
    best = json.loads(runner.call("best", "small", "--json"))
    assert best["values"][0] >= 0
    assert json.loads(runner.call("summary", "small", "--json"))["best"]["protocol"] == "a"


def test_a_trial_with_another_protocol_does_not_use_up_its_time(tmp_path: Path) -> None:
    runner = small(tmp_path)
    runner.run(experiment(HANGING, parallelTrialCount=1))
    trials = runner.trials("small")
    assert [t["outcome"] for t in trials][2] == "OtherProtocol" and trials[3]["outcome"] == "Succeeded"


def test_the_protocol_outlives_the_process(tmp_path: Path) -> None:
    runner = small(tmp_path)
    runner.run(experiment(CHANGED, parallelTrialCount=1, maxTrialCount=2))
    runner.run(experiment(CHANGED, parallelTrialCount=1, maxTrialCount=4))
    assert [t["outcome"] for t in runner.trials("small")][2] == "OtherProtocol"


def test_a_trial_that_names_no_protocol_is_trusted(tmp_path: Path) -> None:
    runner = small(tmp_path)
    runner.run(experiment(SILENT, parallelTrialCount=1))
    assert {t["outcome"] for t in runner.trials("small")} == {"Succeeded"}
