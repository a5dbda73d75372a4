"""`kubetuna run` from the outside: results, ends, and whatever a trial's command may do."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from tests.local.runs import Runner, experiment, kill, running_with, until

EXAMPLES = Path(__file__).parents[2] / "examples"
LOSS = "import os; print(f\"loss={float(os.environ['KUBETUNA_PARAM_X'])}\")"


@pytest.fixture
def runner(tmp_path: Path, store_url: str) -> Runner:
    """The command line with every kind of store."""
    return Runner(tmp_path, store_url)


@pytest.fixture
def small(tmp_path: Path) -> Runner:
    """The command line with SQLite, where the store is not what is tested."""
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def test_an_example_runs_to_its_end_and_optuna_reads_the_study(runner: Runner) -> None:
    status = json.loads(runner.call("run", str(EXAMPLES / "quadratic.yaml"), "--json").splitlines()[-1])
    assert (status["state"], status["trials"]) == ("Succeeded", 20)
    assert status["trialsSucceeded"] + status["trialsEarlyStopped"] == 20
    study = optuna.load_study(study_name="quadratic", storage=runner.store)
    best = status["currentOptimalTrial"]
    assert best["number"] == study.best_trial.number
    assert best["params"] == study.best_params
    assert len(study.trials) == 20
    study.optimize(lambda t: t.suggest_float("x", -10, 10), n_trials=1)
    assert len(runner.trials("quadratic")) == 21


def test_every_trial_knows_what_it_is_to_do(small: Runner) -> None:
    script = (
        "import json, os; e = os.environ; p = json.loads(e['KUBETUNA_PARAMS'])\n"
        "assert p == {'lr.rate': p['lr.rate'], 'kind': p['kind'], 'n': p['n']}\n"
        "assert e['KUBETUNA_PARAM_LR_RATE'] == json.dumps(p['lr.rate']) and e['KUBETUNA_PARAM_KIND'] == p['kind']\n"
        "assert type(p['n']) is int and e['KUBETUNA_EXPERIMENT'] == 'small' and e['KUBETUNA_ATTEMPT'] == '0'\n"
        "assert os.path.isdir(e['KUBETUNA_CHECKPOINT_DIR']) and os.path.isdir(e['KUBETUNA_OUT'])\n"
        "assert 'KUBETUNA_STORE' not in e and int(e['OMP_NUM_THREADS']) >= 1\n"
        "print(json.dumps({'loss': int(e['KUBETUNA_SEED']) % 1000 + int(e['KUBETUNA_TRIAL'])}))"
    )
    parameters = [
        {"name": "lr.rate", "parameterType": "double", "feasibleSpace": {"min": 0.1, "max": 1}},
        {"name": "kind", "parameterType": "categorical", "feasibleSpace": {"list": ["a", "b"]}},
        {"name": "n", "parameterType": "discrete", "feasibleSpace": {"list": [1, 2]}},
    ]
    small.run(experiment(script, parameters=parameters))
    first = [t["values"] for t in small.trials()]
    assert len({tuple(v) for v in first}) > 1
    small.store += "2"
    small.run(experiment(script, parameters=parameters))
    assert [t["values"] for t in small.trials()] == first, "the same seed must give the same trials"


# The first attempts of trials 2 and 4 end only when they are ended, so that a test's kill always meets a trial.
HELD = (
    "import os, time, json\n"
    "for step in range(1, 13):\n"
    "    print(json.dumps({'step': step, 'loss': float(os.environ['KUBETUNA_PARAM_X']) + 1 / step}))\n"
    "    if (os.environ['KUBETUNA_TRIAL'] in '24' and os.environ['KUBETUNA_ATTEMPT'] == '0' and step == 6):\n"
    "        time.sleep(600)\n"
    "# mark-of-"
)


def has_steps(runner: Runner, number: int) -> bool:
    """Whether a trial exists and has reported."""
    return any(trial["number"] == number and trial["steps"] for trial in runner.trials())


def test_a_killed_runner_takes_its_trials_along_and_the_next_goes_on(runner: Runner) -> None:
    text = experiment(HELD + runner.folder.name, maxTrialCount=6)
    path = runner.write(text)
    for held in (2, 4):
        process = runner.start("run", str(path))
        until(lambda held=held: has_steps(runner, held))
        kill(process)
        until(lambda: not running_with(f"mark-of-{runner.folder.name}"), 10)
    status = runner.run(text)
    trials = runner.trials()
    assert status["state"] == "Succeeded" and status["trials"] == 6
    assert [t["number"] for t in trials] == list(range(6))
    assert all(t["state"] == "COMPLETE" for t in trials)
    assert all([s for s, _ in t["steps"]] == list(range(1, 13)) for t in trials)
    retried = {t["number"]: t["attempts"][0]["outcome"] for t in trials if len(t["attempts"]) > 1}
    assert {2, 4} <= set(retried) and set(retried.values()) == {"Infrastructure"}


def test_a_second_runner_is_refused_and_told_who_holds_the_study(runner: Runner) -> None:
    path = runner.write(experiment("import time; time.sleep(600) # mark-hold"))
    first = runner.start("run", str(path))
    until(lambda: any(t["attempts"] for t in runner.trials()))
    told = runner.call("run", str(path), code=3)
    assert str(first.pid) in told
    kill(first)
    runner.call("run", str(path), "--set", "shutdown=true", code=1)


def test_an_interrupt_saves_everything_and_says_how_to_go_on(runner: Runner) -> None:
    text = experiment(HELD + runner.folder.name, maxTrialCount=4)
    process = runner.start("run", str(runner.write(text)))
    until(lambda: has_steps(runner, 2))
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "kubetuna run" in out
    assert not running_with(f"mark-of-{runner.folder.name}")
    assert runner.run(text)["trialsSucceeded"] == 4


def test_a_finished_study_prints_its_status_and_edited_counts_go_on(small: Runner) -> None:
    first = small.run(experiment(LOSS))
    again = small.run(experiment(LOSS))
    assert again["currentOptimalTrial"] == first["currentOptimalTrial"]
    more = small.run(experiment(LOSS, maxTrialCount=6))
    assert more["trials"] == 6
    told = small.call("run", str(small.write(experiment(LOSS + " "))), code=2)
    assert "spec.trialTemplate" in told and "afresh" in told


DAEMON = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  time.sleep(600)\nprint('loss=1')"


@pytest.mark.parametrize(
    ("script", "outcome", "state"),
    [
        ("print('hello')", "MetricsUnavailable", "FAIL"),
        ("pass", "MetricsUnavailable", "FAIL"),
        ("print('loss=nan')", "NonFinite", "FAIL"),
        ("print('loss=1'); raise SystemExit(3)", "Crashed", "FAIL"),
        ("import os; os.kill(os.getpid(), 9)", "Killed", "FAIL"),
        ("import os; os.kill(os.getpid(), 11)", "Crashed", "FAIL"),
        ('print(\'{"outcome": "OutOfMemory"}\'); raise SystemExit(1)', "OutOfMemory", "PRUNED"),
        ("import os; os.write(1, os.urandom(300_000)); print('\\nloss=2')", "Succeeded", "COMPLETE"),
        ("print('loss=' + '9' * 30_000_000); print('loss=2')", "Succeeded", "COMPLETE"),
        (
            "import os\nif os.fork() == 0:\n  os.setsid()\n  import time; time.sleep(600)\nprint('loss=1')",
            "Succeeded",
            "COMPLETE",
        ),
        ("print('loss=1', end='')", "Succeeded", "COMPLETE"),
    ],
)
def test_whatever_a_trial_does_has_one_outcome(small: Runner, script: str, outcome: str, state: str) -> None:
    text = experiment(script + f"\n# mark-{small.folder.name}", maxTrialCount=1)
    small.run(text, code=0 if state == "COMPLETE" else 1)
    (trial,) = small.trials()
    assert (trial["outcome"], trial["state"]) == (outcome, state)
    assert not running_with(f"mark-{small.folder.name}")


def test_a_command_that_does_not_exist_fails_the_experiment_at_once(small: Runner) -> None:
    text = experiment("", command=["no-such-program"], maxTrialCount=50)
    told = small.call("run", str(small.write(text)), code=1)
    assert "no-such-program" in told
    assert len(small.trials()) <= 2


def test_a_trial_that_ignores_sigterm_is_killed_after_its_grace(small: Runner) -> None:
    script = (
        "import signal, time, subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"print('loss=1', flush=True); time.sleep(600) # mark-{small.folder.name}"
    )
    small.run(experiment(script, maxTrialCount=1, budget={"trialTimeout": "1s"}), code=1)
    (trial,) = small.trials()
    assert trial["outcome"] == "TimedOut"
    assert not running_with(f"mark-{small.folder.name}")


def test_a_flood_of_lines_harms_nothing(small: Runner) -> None:
    script = (
        "import sys\nfor i in range(300_000): sys.stdout.write('step %d loss=%d\\n' % (i, i % 7))\nprint('loss=5')"
    )
    status = small.run(experiment(script, maxTrialCount=1))
    assert status["currentOptimalTrial"]["values"] == [5.0]


def test_retries_of_its_own_failures_are_counted(small: Runner) -> None:
    script = (
        "import os, sys; n = int(os.environ['KUBETUNA_ATTEMPT'])\n"
        "open(os.environ['KUBETUNA_CHECKPOINT_DIR'] + f'/{n}', 'w').close()\n"
        "if n < 2: sys.exit(1)\nprint('loss=%d' % len(os.listdir(os.environ['KUBETUNA_CHECKPOINT_DIR'])))"
    )
    small.run(experiment(script, maxTrialCount=1, retryPolicy={"limit": 2}))
    (trial,) = small.trials()
    assert trial["values"] == [3.0]
    assert [a["outcome"] for a in trial["attempts"]] == ["Crashed", "Crashed", "Succeeded"]


def test_goal_and_failure_limits_end_an_experiment(small: Runner) -> None:
    goal = {"type": "minimize", "objectiveMetricName": "loss", "goal": 2}
    status = small.run(experiment("print('loss=1')", maxTrialCount=100, objective=goal))
    assert status["state"] == "Succeeded" and status["trials"] <= 4
    status = small.run(
        experiment("raise SystemExit(1)", name="bad", maxTrialCount=100, maxFailedTrialCount=2), code=1
    )
    assert status["state"] == "Failed" and status["trials"] <= 5


@pytest.mark.parametrize(
    ("store", "word"),
    [
        ("mysql://localhost/x", "postgresql+psycopg2://"),
        ("nonsense", "sqlite:///"),
        ("sqlite:////nonexistent/folder/study.db", "folder"),
        ("postgresql+psycopg2://u@127.0.0.1:1/none", "127.0.0.1"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused(small: Runner, store: str, word: str) -> None:
    small.store = store
    told = small.call("run", str(small.write(experiment(LOSS))), code=2)
    assert word in told


def test_logs_best_and_status_are_for_people_and_scripts(small: Runner) -> None:
    small.run(experiment(LOSS))
    assert "loss=" in small.call("logs", "small", "2")
    assert "does not exist" in small.call("logs", "small", "9", code=1)
    assert json.loads(small.call("best", "small", "--json"))["params"].keys() == {"x"}
    assert json.loads(small.call("status", "small", "--json"))["trials"] == 4
    assert "COMPLETE" in small.call("trials", "small")
    assert "no study 'unknown'" in small.call("status", "unknown", code=2)


def test_a_log_is_explained_line_by_line(small: Runner) -> None:
    """Of a trial, and of any file before anything runs."""
    file = small.write(experiment("print('epoch 1 val_loss: 0.25'); print('done')", maxTrialCount=1))
    small.call("run", str(file), code=1)
    (trial,) = small.trials()
    assert trial["outcome"] == "MetricsUnavailable" and "nearest: 'epoch 1 val_loss: 0.25'" in trial["message"]
    shown = small.call("logs", "--explain", "small", "0")
    assert "it has val_loss, which is not loss" in shown and "nearest: 'epoch 1 val_loss: 0.25'" in shown
    log = small.folder / "any.log"
    log.write_text('loss=9\n{"step": 1, "loss": 0.5}\nloss=99')
    told = json.loads(small.call("logs", "--explain", "--json", "--spec", str(file), str(log)))
    assert [line["step"] for line in told["lines"]] == [0, 1, None]
    assert (told["values"], told["curve"]) == ({"loss": 0.5}, [{"step": 1, "value": 0.5}])
    with log.open() as piped:
        process = small.start("logs", "--explain", "--json", "--spec", str(file), "-", stdin=piped)
        assert json.loads(process.communicate(timeout=60)[0]) == told
    for words in (["small"], ["--spec", str(file), str(log)], ["--explain", "--spec", str(file), "none.log"]):
        assert small.call("logs", *words, code=1 if "none.log" in words else 2)


def test_a_search_that_finds_no_point_fails_for_good_and_numbers_nothing(small: Runner) -> None:
    text = experiment(LOSS, constraints=["x > 0.5", "x < 0.500000001"])
    for _ in range(2):
        status = small.run(text, code=1)
        assert status["state"] == "Failed" and status["trials"] == 0
        assert "x > 0.5" in status["message"] or "x < 0.5" in status["message"]
    assert small.trials() == []
    assert json.loads(small.call("status", "small", "--json"))["state"] == "Failed"


def test_whoever_looks_later_sees_how_it_ended(small: Runner) -> None:
    grid = {"algorithm": {"algorithmName": "grid"}, "maxTrialCount": 3}
    whole = [{"name": "x", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 3}}]
    document = json.loads(experiment(LOSS, parameters=whole, **grid))
    del document["spec"]["maxTrialCount"]
    told = small.run(json.dumps(document))
    seen = json.loads(small.call("status", "small", "--json"))
    assert seen["state"] == told["state"] == "Succeeded" and seen["message"] == told["message"]
    assert seen["conditions"] == json.loads(small.call("status", "small", "--json"))["conditions"]


def test_a_suspended_experiment_ends_the_run_and_says_how_to_go_on(small: Runner) -> None:
    out = small.call("run", str(small.write(experiment(LOSS))), "--set", "suspend=true", code=130)
    assert "spec.suspend" in out and "suspend=false" in out
    assert small.run(experiment(LOSS))["trialsSucceeded"] == 4


def test_a_run_from_another_folder_finds_what_the_first_one_left(small: Runner) -> None:
    script = (
        "import os, pathlib, time\n"
        "kept = pathlib.Path(os.environ['KUBETUNA_CHECKPOINT_DIR'], 'kept')\n"
        "if not kept.exists():\n"
        "    kept.write_text('1')\n"
        "    print('loss=7', flush=True)\n"
        "    time.sleep(600)\n"
        "print('loss=1') # mark-folder"
    )
    text = experiment(script, maxTrialCount=1)
    process = small.start("run", str(small.write(text)))
    until(lambda: has_steps(small, 0))
    kill(process)
    other = Runner(small.folder / "elsewhere", small.store)
    other.folder.mkdir()
    assert other.run(text)["trialsSucceeded"] == 1
    first, second = other.trials()[0]["attempts"]
    assert (first["outcome"], second["outcome"]) == ("Infrastructure", "Succeeded")
    assert "loss=7" in other.call("logs", "small", "0", "--attempt", "0")


def test_a_study_is_taken_up_in_the_folder_where_it_began(small: Runner) -> None:
    (small.folder / "train.py").write_text(LOSS)
    text = experiment("", command=["python", "train.py"], maxTrialCount=1)
    assert small.run(text)["trialsSucceeded"] == 1
    other = Runner(small.folder / "elsewhere", small.store)
    other.folder.mkdir()
    assert other.run(text, "--set", "maxTrialCount=2")["trialsSucceeded"] == 2
    # A folder that is gone is no place to go back to.
    moved = Runner(small.folder.rename(small.folder.with_name("moved")), "")
    moved.store = f"sqlite:///{moved.folder}/study.db"
    assert moved.run(text, "--set", "maxTrialCount=3")["trialsSucceeded"] == 3


def test_what_a_template_has_and_this_machine_has_not_is_said_once(small: Runner) -> None:
    document = json.loads(experiment("", command=["python", "-c", LOSS], maxTrialCount=2))
    pod = document["spec"]["trialTemplate"]["trialSpec"]["spec"]
    document["spec"]["trialTemplate"]["primaryContainerName"] = "trial"
    pod["initContainers"] = [{"name": "fetch", "image": "a"}]
    pod["volumes"] = [{"name": "data", "emptyDir": {}}]
    pod["containers"].append({"name": "proxy", "image": "b"})
    pod["containers"][0] |= {
        "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "envFrom": [{"secretRef": {"name": "s"}}],
        "workingDir": "/nowhere/at/all",
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    path = str(small.write(json.dumps(document)))
    process = small.start("run", path)
    _, said = process.communicate(timeout=100)
    notes = [
        "image python is not used here: trials run with the programs of this machine",
        "valueFrom has no meaning here: your own environment gives TOKEN, or nothing does",
        "envFrom has no meaning here: its variables are what your own environment gives them",
        "workingDir /nowhere/at/all does not exist here: trials run in the folder where the study began",
        "init containers are not run here: fetch",
        "only container trial is run here, without proxy",
        "volumes are not mounted here: data; /data must exist on this machine",
    ]
    assert process.returncode == 0 and [said.count(f"note: {note}") for note in notes] == [1] * len(notes)
    assert json.loads(small.call("plan", path, "--json"))["onThisMachine"] == notes
    del pod["containers"][0]["command"]
    document["spec"]["trialTemplate"]["trialSpec"]["spec"]["containers"][0]["args"] = ["--lr=1"]
    shown = small.call("plan", str(small.write(json.dumps(document))))
    assert "the image's own entrypoint is not known here, so args are run as if they were the command" in shown


def test_a_crash_says_why_and_where_the_log_is(small: Runner) -> None:
    script = "import os; x = os.environ['KUBETUNA_PARAM_X']; print('loading', x); os.environ['DATA_URL' + x]"
    told = small.call("run", str(small.write(experiment(script, maxTrialCount=20, parallelTrialCount=1))), code=1)
    trials = [t for t in small.trials() if t["outcome"] == "Crashed"]
    assert all(t["message"].startswith("exit code 1: KeyError: 'DATA_URL0.") for t in trials)
    # Alike but for the numbers that each quotes: the template is broken, and no twentieth trial shows it again.
    assert len(trials) < 20 and "trials in a row failed alike: exit code 1: KeyError: 'DATA_URL0." in told
    number = trials[-1]["number"]
    assert f"kubetuna logs small {number}" in " ".join(told.split()) and f"why trial {number} failed" in told


def test_the_metrics_of_a_running_trial_are_shown(small: Runner) -> None:
    script = "print('loss=3 accuracy=0.5', flush=True)\nimport time; time.sleep(600)"
    process = small.start("run", str(small.write(experiment(script, maxTrialCount=1))))
    until(lambda: has_steps(small, 0))
    assert small.trials()[0]["state"] == "RUNNING" and small.trials()[0]["metrics"] == {"loss": 3.0}
    process.terminate()
    process.communicate(timeout=60)
