"""`kubetuna trial` on a run of this machine: while it runs, and while nothing does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.local.runs import Runner, experiment, kill, until

# Trial 0 ends only when it is ended.
SCRIPT = (
    "import os, time, json\n"
    "print(json.dumps({'step': 1, 'loss': float(os.environ['KUBETUNA_PARAM_X'])}), flush=True)\n"
    "time.sleep(600 if os.environ['KUBETUNA_TRIAL'] == '0' else 0)\n"
)


@pytest.fixture
def runner(tmp_path: Path, store_url: str) -> Runner:
    """The command line with every kind of store."""
    return Runner(tmp_path, store_url)


def test_a_trial_is_stopped_a_point_added_and_what_was_stopped_run_again(runner: Runner) -> None:
    text = experiment(SCRIPT, parallelTrialCount=1, maxTrialCount=3, budget={"trialTimeout": "300s"})
    process = runner.start("run", str(runner.write(text)))
    until(lambda: any(t["steps"] for t in runner.trials()))
    added = json.loads(runner.call("trial", "add", "small", "x=0.25", "--json"))
    assert added["accepted"] is True and added["request"] == "add x=0.25"
    assert "trial 0 is being stopped" in runner.call("trial", "stop", "small", "0")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "note: stop 0: trial 0 is being stopped" in errors
    first, second, _ = runner.trials()
    assert (first["outcome"], first["message"], len(first["attempts"])) == ("Stopped", "stopped by hand", 1)
    assert second["params"] == {"x": 0.25} and second["added"] is True
    # Nothing runs now; who runs it next does it.
    asked = json.loads(runner.call("trial", "retry", "small", "0", "--json"))
    assert asked["accepted"] is None
    status = runner.run(text)
    again = runner.trials()[-1]
    assert (again["retryOf"], again["params"], again["state"]) == (0, first["params"], "COMPLETE")
    assert (status["trials"], status["trialsSucceeded"], status["trialsKilled"]) == (3, 3, 0)
    assert [r["request"] for r in status["requests"]] == ["add x=0.25", "stop 0", "retry 0"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["retry", "small", "0"], "trial 0 has a result (Succeeded)"),
        (["retry", "small", "12"], "trial 12 does not exist; trials: 0 to 1"),
        (["stop", "small", "0"], "trial 0 has ended already: Succeeded"),
        (["stop", "small", "9" * 30], "must be 'stop N'"),
        (["stop", "small", "NaN"], "must be 'stop N'"),
        (["stop", "smal", "0"], "there is 'small'"),
        (["add", "small", "x=7"], "x: Invalid value: \"7\": is outside the feasible space of 'x': from 0 to 1"),
        (["add", "small", "x=nan"], "x: Invalid value: "),
        (["add", "small", "y=1"], 'y: unknown field "y"'),
        (["add", "small", "0.5"], "must be NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(ended: Runner, words: list[str], told: str) -> None:
    assert told in ended.call("trial", *words, code=2)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A study of two trials, which nothing here changes."""
    folder = tmp_path_factory.mktemp("ended")
    runner = Runner(folder, f"sqlite:///{folder}/study.db")
    runner.run(experiment("print('loss=0.5')", maxTrialCount=2))
    return runner


def test_a_stop_outlives_the_runner_that_was_asked(tmp_path: Path) -> None:
    """It was killed with its trials; the next one does not start the trial again."""
    runner = Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")
    text = experiment(SCRIPT, parallelTrialCount=1, maxTrialCount=2)
    process = runner.start("run", str(runner.write(text)))
    until(lambda: any(t["steps"] for t in runner.trials()))
    kill(process)
    asked = json.loads(runner.call("trial", "stop", "small", "0", "--json"))
    assert asked["accepted"] is None
    runner.run(text)
    assert [(t["outcome"], len(t["attempts"])) for t in runner.trials()] == [("Stopped", 1), ("Succeeded", 1)]
