"""The operator on a real cluster: experiments from apply to the best parameters, whatever happens in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from kubetuna_operator.transport import Refused, collection
from tests.cluster.conftest import Cluster
from tests.cluster.operators import World, kill
from tests.local.runs import Runner
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.cluster

CURVE = """
import json, os, time
x = json.loads(os.environ["KUBETUNA_PARAMS"])["x"]
for step in range(1, 6):
    print(json.dumps({"step": step, "loss": x + 1 / step}))
    time.sleep(0.3)
"""
HANGS = "import time; print('loss=1', flush=True); time.sleep(600)"


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


def test_an_operator_killed_again_and_again_runs_every_trial_once(world: World) -> None:
    world.apply(CURVE, maxTrialCount=8, parallelTrialCount=3)
    params: dict[str, set[str]] = {}
    uids: dict[str, set[str]] = {}
    operator = world.operator()
    for stride in range(1, 7):
        events = 0
        known = {}
        while events < stride:
            pods = {p["metadata"]["name"]: p for p in world.pods()}
            for name, pod in pods.items():
                uids.setdefault(name, set()).add(pod["metadata"]["uid"])
                given = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
                params.setdefault(name, set()).add(given["KUBETUNA_PARAMS"])
            phases = {n: p["status"].get("phase") for n, p in pods.items()}
            events += phases != known
            known = phases
            if world.status().get("state") == "Succeeded":
                break
        kill(operator)
        operator = world.operator()
    assert world.ended()["trialsSucceeded"] == 8
    assert all(len(found) == 1 for found in (*uids.values(), *params.values()))
    assert all(name.endswith("-0-0") for name in uids), "no attempt was made twice"
    for trial in world.trials():
        assert len(trial.attempts) == 1 and len(trial.steps) == 5


def test_what_is_wrong_with_a_spec_is_told_with_its_path(world: World) -> None:
    world.operator()
    with pytest.raises(Refused, match="parallelTrialCount"):
        world.apply(CURVE, parallelTrialCount=0)
    space = [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 2, "max": 1}}]
    world.apply(CURVE, parameters=space, constraints=["z > 1"])
    world.until("the refusal", lambda: world.condition("Accepted").get("status") == "False")
    message = world.condition("Accepted")["message"]
    assert "spec.parameters[0].feasibleSpace" in message and "spec.constraints[0]" in message
    assert not world.pods()


def test_a_pruned_pod_gets_sigterm_and_keeps_its_curve(world: World) -> None:
    world.operator()
    script = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(0)))
x = int(os.environ["KUBETUNA_TRIAL"])
for step in range(1, 400 if x else 4):
    print(json.dumps({"step": step, "loss": float(x)}))
    time.sleep(0.2)
"""
    pruner = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 0.5}]}
    world.apply(script, maxTrialCount=2, parallelTrialCount=1, earlyStopping=pruner)
    assert world.ended()["trialsEarlyStopped"] == 1
    trial = world.trials()[1]
    assert (trial.state, trial.outcome) == ("PRUNED", "Pruned") and 1 <= len(trial.steps) < 60


@pytest.mark.parametrize(
    ("script", "pod", "spec", "outcome"),
    [
        ("raise SystemExit(3)", {}, {}, "Crashed"),
        ("pass", {}, {}, "MetricsUnavailable"),
        ("print('loss=nan')", {}, {}, "NonFinite"),
        (HANGS, {}, {"budget": {"trialTimeout": "2s"}}, "TimedOut"),
        (HANGS, {"activeDeadlineSeconds": 2}, {}, "TimedOut"),
        ("raise SystemExit(137)", {}, {}, "Killed"),
        (
            "b = b'x' * 2**28; print('loss=1')",
            {"container": {"resources": {"limits": {"memory": "32Mi"}}}}, {}, "OutOfMemory",
        ),
    ],
)  # fmt: skip
def test_how_a_pod_ends_is_the_trials_outcome(
    world: World, script: str, pod: dict[str, Any], spec: dict[str, Any], outcome: str
) -> None:
    world.operator()
    world.apply(script, pod=dict(pod), **{"maxTrialCount": 1, **spec})
    assert world.ended()["state"] == "Failed"
    assert [t.outcome for t in world.trials()] == [outcome]


def test_a_template_that_cannot_start_stalls_at_once_and_fails_later(world: World) -> None:
    world.operator()
    image = {"container": {"image": "localhost/no/such:1", "imagePullPolicy": "Never"}}
    world.apply(CURVE, pod=image, maxTrialCount=3, startTimeout="8s")
    world.until("Stalled", lambda: world.condition("Stalled").get("status") == "True", 20)
    assert "ErrImageNeverPull" in world.condition("Stalled")["message"]
    status = world.ended()
    assert status["state"] == "Failed" and "such" in status["message"]


def test_a_pod_that_finds_no_gpu_is_waited_for_and_said_so(world: World) -> None:
    world.operator()
    world.apply(CURVE, pod={"container": {"resources": {"limits": {"nvidia.com/gpu": 1000}}}}, maxTrialCount=1)
    world.until("Stalled", lambda: world.condition("Stalled").get("status") == "True", 20)
    assert "Insufficient nvidia.com/gpu" in world.condition("Stalled")["message"]
    assert world.status()["state"] == "Running" and world.status()["trialsPending"] == 1


def test_a_pod_deleted_by_hand_is_made_again_and_costs_nothing(world: World) -> None:
    world.operator()
    world.apply(CURVE, maxTrialCount=1)
    world.until("it runs", lambda: [p for p in world.pods() if p["status"].get("phase") == "Running"])
    world.api.delete(f"{collection('pods', world.namespace)}/small-0-0-0", gracePeriodSeconds=0)
    assert world.ended()["state"] == "Succeeded"
    (trial,) = world.trials()
    assert len(trial.attempts) == 2 and trial.outcome == "Succeeded"
    assert trial.attempts[0].outcome in ("Deleted", "Infrastructure")


def test_a_finished_experiment_goes_on_when_it_is_given_more_trials(world: World) -> None:
    world.operator()
    world.apply(CURVE, maxTrialCount=2)
    assert world.ended()["trials"] == 2
    world.apply(CURVE, maxTrialCount=4)
    world.until("more trials", lambda: world.status().get("trialsSucceeded") == 4)
    assert len(world.studies()) == 1


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


def test_a_database_that_goes_away_stops_nothing(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    server = PostgresServer()
    world = World(cluster, namespace, server.url("postgres"), tmp_path)
    try:
        world.operator()
        world.apply(CURVE.replace("0.3", "1.5"), maxTrialCount=2)
        world.until("both run", lambda: sum(p["status"].get("phase") == "Running" for p in world.pods()) == 2)
        server.stop()
        world.until("StoreReady is false", lambda: world.condition("StoreReady").get("status") == "False")
        server.start()
        assert world.ended()["trialsSucceeded"] == 2
        assert [(len(t.attempts), [s for s, _ in t.steps]) for t in world.trials()] == [(1, [1, 2, 3, 4, 5])] * 2
        assert world.condition("StoreReady")["status"] == "True"
    finally:
        world.close()
        server.close()


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


def test_the_command_line_works_with_a_kubeconfig_and_no_database(world: World) -> None:
    world.operator()
    here = Runner(world.logs, "sqlite:///nowhere.db")
    changes = {"KUBECONFIG": str(world.cluster.kubeconfig)}

    def call(*words: str) -> str:
        process = here.start(*words, **changes)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, out + errors
        return out

    file = here.write(world.document(CURVE, maxTrialCount=4, parallelTrialCount=1))
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
