"""The operator on a real cluster: experiments from apply to the best parameters, whatever happens in between."""

from __future__ import annotations

import json
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest

from kubetuna_operator.kube.api_client import collection
from tests.cluster.conftest import Cluster
from tests.cluster.operators import World, kill
from tests.local.runs import Runner

pytestmark = pytest.mark.cluster

CURVE = """
import json, os, time
x = json.loads(os.environ["KUBETUNA_PARAMS"])["x"]
for step in range(1, 6):
    print(json.dumps({"step": step, "loss": x + 1 / step}))
    time.sleep(0.3)
"""
HANGS = "import time; print('loss=1', flush=True); time.sleep(600)"
# Its first attempt goes on until it is taken away, however long that takes; the next one ends.
FIRST_HANGS = f"import os\nif os.environ['KUBETUNA_ATTEMPT'] == '0':\n    {HANGS}\n{CURVE}"


def test_an_experiment_finds_its_best_parameters_and_everything_shows_them(world: World) -> None:
    world.operator()
    world.apply(CURVE, maxTrialCount=5)
    seen: dict[str, Any] = {}

    def watched() -> bool:
        seen.update({p["metadata"]["name"]: p for p in world.pods()})
        return world.status().get("state") == "Succeeded"

    world.until("success", watched)
    status = world.status()
    assert (status["trials"], status["trialsSucceeded"]) == (5, 5), [(t.outcome, t.message) for t in world.trials()]
    best = status["currentOptimalTrial"]
    trials = world.trials()
    lowest = min(trials, key=lambda t: (t.values or (9.0,))[0])
    assert best["number"] == lowest.number and best["params"] == lowest.params
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Accepted": "True", "Created": "True", "Running": "False", "Succeeded": "True", "Failed": "False",
        "Suspended": "False", "StoreReady": "True", "Stalled": "False", "Restarting": "False",
    }  # fmt: skip
    pod = seen["small-0-0-0"]
    labels = pod["metadata"]["labels"]
    assert [labels[f"kubetuna.dev/{n}"] for n in ("experiment", "trial", "attempt")] == ["small", "0", "0"]
    environment = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
    assert json.loads(environment["KUBETUNA_PARAMS"]) == trials[0].params
    assert pod["spec"]["automountServiceAccountToken"] is False
    shown = world.api.get(collection("trials", world.namespace))["items"]
    assert sorted(t["status"]["number"] for t in shown) == [0, 1, 2, 3, 4]
    assert [[s for s, _ in t["status"]["steps"]] for t in shown] == [[1, 2, 3, 4, 5]] * 5
    (name,) = world.studies()
    assert name.startswith(f"{world.namespace}/small/")
    assert optuna.load_study(study_name=name, storage=world.store).best_value == lowest.values[0]  # type: ignore[index]


def test_a_finished_experiment_goes_on_when_it_is_given_more_trials(world: World) -> None:
    world.operator()
    world.apply(CURVE, maxTrialCount=2)
    assert world.ended()["trials"] == 2
    world.apply(CURVE, maxTrialCount=4)
    world.until("more trials", lambda: world.status().get("trialsSucceeded") == 4)
    assert len(world.studies()) == 1


def test_repeats_and_the_retest_are_pods_of_their_own_and_the_status_tells_their_mean(world: World) -> None:
    world.operator()
    repeat = "import os; print(f\"loss={os.environ['KUBETUNA_REPEAT']}.5\")"
    world.apply(repeat, maxTrialCount=2, parallelTrialCount=1, repeats=2, retest={"top": 1, "repeats": 3})
    seen: dict[str, dict[str, str]] = {}

    def watched() -> bool:
        seen.update({p["metadata"]["name"]: p["metadata"]["labels"] for p in world.pods()})
        return world.status().get("state") == "Succeeded"

    world.until("success", watched)
    assert {"small-0-0-0", "small-0-1-1", "small-1-1-1", "small-2-2-2"} <= set(seen)
    assert seen["small-2-2-2"]["kubetuna.dev/repeat"] == "2"
    best = world.status()["currentOptimalTrial"]
    assert (best["number"], best["retestOf"], best["values"]) == (2, 0, [1.5])
    assert [t.values for t in world.trials()] == [(1.0,), (1.0,), (1.5,)]
    shown = {
        t["status"]["number"]: t["status"] for t in world.api.get(collection("trials", world.namespace))["items"]
    }
    assert shown[2]["retestOf"] == 0 and [r["loss"] for r in shown[2]["repeats"]] == [0.5, 1.5, 2.5]


def test_an_experiment_deleted_while_it_runs_leaves_no_pod_and_its_successor_is_another_study(world: World) -> None:
    world.operator()
    world.apply(HANGS, maxTrialCount=2)
    world.until("both run", lambda: sum(p["status"].get("phase") == "Running" for p in world.pods()) == 2)
    world.api.delete(f"{world.path}/small", propagationPolicy="Background")
    world.until("it is gone", lambda: not world.exists())
    world.until("its Pods are gone", lambda: not world.pods())
    assert {(t.state, t.outcome) for t in world.trials()} == {("FAIL", "Deleted")}
    world.apply(CURVE, maxTrialCount=1)
    assert world.ended()["trialsSucceeded"] == 1
    assert len(world.studies()) == 2


def test_a_second_operator_waits_and_takes_over(world: World) -> None:
    first = world.operator("--port=0")
    second = world.operator("--port=0")
    world.apply(CURVE.replace("0.3", "2"), maxTrialCount=2)
    world.until("both run", lambda: sum(p["status"].get("phase") == "Running" for p in world.pods()) == 2)
    lease = world.api.get(f"{collection('leases', world.namespace)}/kubetuna-operator")
    leader = first if lease["spec"]["holderIdentity"].endswith(f"-{first.pid}") else second
    kill(leader)
    assert world.ended()["trialsSucceeded"] == 2
    assert all(len(t.attempts) == 1 for t in world.trials())


def called(world: World, *words: str) -> str:
    """What the command line prints, with a kubeconfig and no database."""
    here = Runner(world.logs, "sqlite:///nowhere.db")
    process = here.start(*words, KUBECONFIG=str(world.cluster.kubeconfig))
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, out + errors
    return out


def test_the_command_line_works_with_a_kubeconfig_and_no_database(world: World) -> None:
    world.operator()
    call = partial(called, world)
    here = Runner(world.logs, "sqlite:///nowhere.db")
    document = json.loads(world.document(CURVE, maxTrialCount=4, parallelTrialCount=1))
    document["spec"]["trialTemplate"]["retain"] = True
    file = here.write(json.dumps(document))
    assert "submitted" in call("submit", str(file), "-n", world.namespace)
    target = f"{world.namespace}/small"
    call("suspend", target)
    world.until("it is suspended", lambda: world.status().get("state") == "Suspended")
    call("resume", target)
    call("watch", target)
    status = json.loads(call("status", target, "--json"))
    assert (status["state"], status["trialsSucceeded"]) == ("Succeeded", 4)
    trials = json.loads(call("trials", target, "--json"))
    stored = [t.as_json() for t in world.trials()]
    for shown, kept in zip(trials, stored, strict=True):
        assert {k: shown[k] for k in ("params", "values", "steps", "state")} == {
            k: kept[k] for k in ("params", "values", "steps", "state")
        }
    assert json.loads(call("best", target, "--json"))["params"] == status["currentOptimalTrial"]["params"]
    assert "Report" in call("report", target)
    explained = json.loads(call("logs", "--explain", "--json", target, "0"))
    assert [line["text"] for line in explained["lines"]] == call("logs", target, "0").splitlines()
    assert [(point["step"], point["value"]) for point in explained["curve"]] == [
        tuple(s) for s in stored[0]["steps"]
    ]


def test_trials_are_steered_by_the_command_line_and_by_annotations_also_while_the_operator_is_down(
    world: World,
) -> None:
    first = world.operator()
    world.apply(f"import os\nif os.environ['KUBETUNA_TRIAL'] == '0':\n    {HANGS}\n{CURVE}", maxTrialCount=2,
                parallelTrialCount=1)  # fmt: skip
    world.until("one runs", lambda: len(world.running()) == 1)
    target = f"{world.namespace}/small"
    assert json.loads(called(world, "trial", "add", target, "x=0.25", "--json"))["accepted"] is True
    kill(first)
    request = {"request.kubetuna.dev/hand": "stop 0"}
    world.api.merge(f"{world.path}/small", {"metadata": {"annotations": request}})
    world.operator()
    assert world.ended()["trialsKilled"] == 1
    stopped, added = world.trials()
    assert (stopped.outcome, stopped.message, added.params) == ("Stopped", "stopped by hand", {"x": 0.25})
    assert "run again" in called(world, "trial", "retry", target, "0")
    world.until("it was run again", lambda: world.status().get("trialsSucceeded") == 2)
    assert world.status()["trialsKilled"] == 0 and world.trials()[2].retry_of == 0
    left = world.api.get(f"{world.path}/small")["metadata"].get("annotations") or {}
    assert not [name for name in left if name.startswith("request.")]


def test_a_running_experiment_follows_its_edits_and_so_does_one_that_ended(world: World) -> None:
    world.operator()
    world.apply(HANGS, maxTrialCount=6, parallelTrialCount=1)
    world.until("one runs", lambda: len(world.running()) == 1)
    world.edit(parallelTrialCount=3)
    world.until("three run", lambda: len(world.running()) == 3)
    world.edit(budget={"wallClock": 1})
    assert "wallClock" in world.ended()["message"]
    assert {t.outcome for t in world.trials()} == {"Stopped"} and not world.running()
    world.edit(budget={"wallClock": "1h"})
    world.until("it goes on", lambda: len(world.running()) == 3)
    world.until("that is said", lambda: world.condition("Restarting")["status"] == "True")
    world.edit(shutdown=True)
    world.until("its end", lambda: "shutdown" in world.status().get("message", ""))
    assert len(world.studies()) == 1


def test_an_edit_that_cannot_be_is_told_and_stops_nothing(world: World) -> None:
    world.operator()
    world.apply(HANGS, maxTrialCount=2, parallelTrialCount=1)
    world.until("it runs", world.running)
    world.edit(budget={"gpuHours": -1})
    world.until("the refusal", lambda: world.condition("Accepted").get("status") == "False")
    assert world.condition("Accepted")["message"].startswith("spec.budget.gpuHours: ")
    world.until("it runs on", lambda: world.running() and world.status()["trialsRunning"] == 1)
    world.edit(budget=None, parallelTrialCount=2)
    world.until(
        "it is taken", lambda: len(world.running()) == 2 and world.condition("Accepted").get("status") == "True"
    )


def test_suspension_stops_what_runs_and_resuming_runs_it_again(world: World) -> None:
    world.operator()
    world.apply(FIRST_HANGS, maxTrialCount=1, suspendPolicy="stop")
    world.until("it runs", world.running)
    world.edit(suspend=True)
    world.until("it is suspended", lambda: world.status().get("state") == "Suspended" and not world.running())
    world.edit(suspend=False)
    assert world.ended()["trialsSucceeded"] == 1
    (trial,) = world.trials()
    assert [a.outcome for a in trial.attempts] == ["Suspended", "Succeeded"]
    assert {"Suspended", "Resumed"} <= world.events().keys()


def test_two_namespaces_with_the_same_name_never_touch(world: World, cluster: Cluster, tmp_path: Path) -> None:
    other = World(cluster, f"{world.namespace}-b", world.store, tmp_path)
    other.api.create("/api/v1/namespaces", {"metadata": {"name": other.namespace}})
    world.others = (other.namespace,)
    try:
        world.operator()
        world.apply(CURVE, maxTrialCount=2)
        other.apply(HANGS, maxTrialCount=1)
        assert world.ended()["trialsSucceeded"] == 2
        other.until("its only trial", lambda: len(other.running()) == 1 and other.status()["trials"] == 1)
        assert sorted(name.rsplit("/", 1)[0] for name in world.studies()) == sorted(
            f"{w.namespace}/small" for w in (world, other)
        )
    finally:
        world.close()
        other.close()
        other.api.delete(f"/api/v1/namespaces/{other.namespace}")


def test_what_the_operator_says_of_itself(world: World) -> None:
    world.operator("--no-leader-election")
    world.apply(CURVE + "raise SystemExit(json.loads(os.environ['KUBETUNA_TRIAL']))", maxTrialCount=2)
    world.ended()

    def page(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{world.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    assert page("/healthz") == page("/readyz") == "ok\n"
    metrics = page("/metrics")
    for name in (
        "controller_runtime_reconcile_total", "controller_runtime_reconcile_time_seconds_count", "workqueue_depth",
        "workqueue_adds_total", "workqueue_retries_total", "workqueue_queue_duration_seconds_count",
        "workqueue_work_duration_seconds_count", "rest_client_requests_total",
        "rest_client_request_duration_seconds_count", "kubetuna_watch_restarts_total",
        "kubetuna_store_commit_seconds_count", "kubetuna_log_lag_seconds_count", "kubetuna_log_gaps_total",
    ):  # fmt: skip
        assert name in metrics
    assert 'kubetuna_trials_total{outcome="Succeeded",state="COMPLETE"} 1.0' in metrics
    assert 'kubetuna_trials_total{outcome="Crashed",state="FAIL"} 1.0' in metrics
    said = [json.loads(line) for line in (world.logs / "operator-0.log").read_text().splitlines()]
    started = [line for line in said if line["message"] == "attempt started"]
    assert [(s["experiment"], s["trial"], s["attempt"]) for s in started] == [
        (f"{world.namespace}/small", n, 0) for n in (0, 1)
    ]
    events = world.events()
    assert (
        events["TrialFailed"].startswith("trial 1: Crashed: exit code 1")
        and {"NewBest", "Succeeded"} <= events.keys()
    )
