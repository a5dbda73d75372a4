"""How real Pods end, and what a trial makes of it: what one node can be made to show of the failure table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubetuna.experiment.kinds import JOB
from kubetuna_operator.kube.api_client import Refused, collection
from tests.cluster.operators import World
from tests.cluster.test_operator import CURVE, FIRST_HANGS, HANGS

pytestmark = pytest.mark.cluster

# Every one is an experiment of one trial; all run at once under one operator.
ENDS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "exit-code": ("raise SystemExit(3)", {}, {}, "Crashed"),
    "silent": ("pass", {}, {}, "MetricsUnavailable"),
    "nan": ("print('loss=nan')", {}, {}, "NonFinite"),
    "timeout": (HANGS, {}, {"budget": {"trialTimeout": "2s"}}, "TimedOut"),
    "own-deadline": (HANGS, {"activeDeadlineSeconds": 2}, {}, "TimedOut"),
    "killed": ("raise SystemExit(137)", {}, {}, "Killed"),
    "memory": (
        "b = b'x' * 2**28; print('loss=1')", {"container": {"resources": {"limits": {"memory": "32Mi"}}}}, {},
        "OutOfMemory",
    ),
    "announced": ("print('{\"outcome\": \"OutOfMemory\"}'); raise SystemExit(1)", {}, {}, "OutOfMemory"),
    "no-program": ("", {"container": {"command": ["/no/such/program"]}}, {}, "StartError"),
    "init": ("print('loss=1')", {"initContainers": ["raise SystemExit('no such dataset')"]}, {}, "Crashed"),
    "init-good": ("print('loss=1')", {"initContainers": ["print('fetched')"]}, {}, "Succeeded"),
    "sidecar": ("print('loss=1')", {"sidecar": HANGS}, {}, "Succeeded"),
    "sidecar-fails": ("print('loss=1')", {"sidecar": "raise SystemExit(9)"}, {}, "Succeeded"),
    "short": ("", {"container": {"command": ["sh", "-c", "echo loss=1"], "args": []}}, {}, "Succeeded"),
    "no-newline": ("import sys; sys.stdout.write('loss=1')", {}, {}, "Succeeded"),
    "last-word": ("open('/dev/termination-log', 'w').write('loss=1')", {}, {}, "Succeeded"),
    "wide": ("print('loss=1'); print('x' * 10**6); print('loss=2')", {}, {}, "Succeeded"),
    "folders": (
        "import os, pathlib\n"
        "for name in ('OUT', 'CHECKPOINT_DIR'): pathlib.Path(os.environ['KUBETUNA_' + name], 'a').write_text('b')\n"
        "print('loss=1')", {}, {}, "Succeeded",
    ),
}  # fmt: skip


def _pod(world: World, changes: dict[str, Any]) -> dict[str, Any]:
    """``initContainers`` and ``sidecar`` are written as scripts."""
    changes = dict(changes)

    def container(name: str, script: str) -> dict[str, Any]:
        return {"name": name, "image": world.cluster.image, "command": ["python3", "-u", "-c", script]}

    if "initContainers" in changes:
        changes["initContainers"] = [container("fetch", s) for s in changes["initContainers"]]
    if "sidecar" in changes:
        changes["sidecar"] = container("sidecar", changes["sidecar"])
    return changes


def test_how_a_pod_ends_is_the_trials_outcome(world: World) -> None:
    world.operator()
    for name, (script, pod, spec, _) in ENDS.items():
        world.apply(script, name, pod=_pod(world, pod), **{"maxTrialCount": 1, "startTimeout": "2s", **spec})
    told = {}
    for name in ENDS:
        world.ended(name)
        (trial,) = world.trials(name)
        told[name] = trial.outcome
    assert told == {name: wanted for name, (*_, wanted) in ENDS.items()}
    assert "no such dataset" in world.trials("init")[0].message
    assert world.trials("wide")[0].values == (2.0,)
    assert "TrialFailed" in world.events()


def test_a_template_that_cannot_start_stalls_at_once_and_fails_later(world: World) -> None:
    world.operator()
    image = {"container": {"image": "localhost/no/such:1", "imagePullPolicy": "Never"}}
    world.apply(CURVE, pod=image, maxTrialCount=3, startTimeout="8s")
    world.until("Stalled", lambda: world.condition("Stalled").get("status") == "True", 20)
    assert "ErrImageNeverPull" in world.condition("Stalled")["message"]
    status = world.ended()
    assert status["state"] == "Failed" and "such" in status["message"]


def test_a_template_that_the_namespace_does_not_admit_fails_with_the_servers_words(world: World) -> None:
    world.operator()
    privileged = {"container": {"securityContext": {"allowPrivilegeEscalation": True}}}
    world.apply(CURVE, pod=privileged, maxTrialCount=1, startTimeout="3s")
    status = world.ended()
    assert status["state"] == "Failed" and "PodSecurity" in status["message"]
    assert "PodSecurity" in world.events()["Stalled"]


def test_a_pod_that_finds_no_gpu_is_waited_for_and_said_so(world: World) -> None:
    world.operator()
    world.apply(
        CURVE, pod={"container": {"resources": {"limits": {"nvidia.com/gpu": 1000}}}}, maxTrialCount=1,
        startTimeout="1s",
    )  # fmt: skip
    world.until("Stalled", lambda: world.condition("Stalled").get("status") == "True", 20)
    assert "Insufficient nvidia.com/gpu" in world.condition("Stalled")["message"]
    assert world.status()["state"] == "Running" and world.status()["trialsPending"] == 1
    # What never ran and is on no node is deleted rather than stopped.
    world.edit(shutdown=True)
    world.ended()
    world.until("no Pod is left", lambda: not world.pods())


def test_a_full_quota_is_waited_for(world: World) -> None:
    quota = {"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}}
    world.api.create(f"/api/v1/namespaces/{world.namespace}/resourcequotas", quota)
    world.operator()
    world.apply(CURVE, maxTrialCount=3, parallelTrialCount=2, startTimeout="1s")
    world.until("Stalled", lambda: "quota" in world.condition("Stalled").get("message", ""))
    assert world.ended()["trialsSucceeded"] == 3


def test_a_pod_deleted_by_hand_or_evicted_is_made_again_and_costs_nothing(world: World) -> None:
    world.operator()
    world.apply(FIRST_HANGS, maxTrialCount=2, parallelTrialCount=2)
    world.until("both run", lambda: len(world.running()) == 2)
    pods = collection("pods", world.namespace)
    world.api.delete(f"{pods}/small-0-0-0", gracePeriodSeconds=0)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "small-1-0-0"}}
    world.until("it is evicted", lambda: _taken(world, f"{pods}/small-1-0-0/eviction", eviction))
    assert world.ended()["trialsSucceeded"] == 2
    deleted, evicted = world.trials()
    assert [a.outcome for a in deleted.attempts][1:] == ["Succeeded"]
    assert deleted.attempts[0].outcome in ("Deleted", "Infrastructure")
    assert [a.outcome for a in evicted.attempts] == ["Infrastructure", "Succeeded"]
    assert evicted.attempts[0].reason == "EvictionByEvictionAPI"


def _taken(world: World, path: str, body: dict[str, Any]) -> bool:
    try:
        world.api.create(path, body)
    except Refused:
        return False
    return True


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
    world.apply(
        script, maxTrialCount=2, parallelTrialCount=1, earlyStopping=pruner,
        pod={"terminationGracePeriodSeconds": 30},
    )  # fmt: skip
    assert world.ended()["trialsEarlyStopped"] == 1
    trial = world.trials()[1]
    assert (trial.state, trial.outcome) == ("PRUNED", "Pruned") and 1 <= len(trial.steps) < 60
    assert trial.attempts[0].exit_code == 0, "it had its grace period, and left by itself"


def test_a_job_template_runs_every_attempt_as_a_job_that_is_never_tried_again(world: World) -> None:
    world.operator()
    found = json.loads(world.document(CURVE, maxTrialCount=3, parallelTrialCount=2))
    template = found["spec"]["trialTemplate"]
    pod = template["trialSpec"]["spec"]
    template["trialSpec"] = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}}
    world.put(found)
    jobs: dict[str, dict[str, Any]] = {}

    def watched() -> bool:
        jobs.update({j["metadata"]["name"]: j for j in world.api.get(JOB.collection(world.namespace))["items"]})
        return bool(world.status().get("state") == "Succeeded")

    world.until("success", watched)
    assert sorted(jobs) == ["small-0-0-0", "small-1-0-0", "small-2-0-0"]
    assert {j["spec"]["backoffLimit"] for j in jobs.values()} == {0}
    assert [[step for step, _ in t.steps] for t in world.trials()] == [[1, 2, 3, 4, 5]] * 3
    world.until("nothing is left", lambda: not world.pods())


SECOND = "import os, time\nif os.environ['JOB_COMPLETION_INDEX'] == '1':\n"


def _of_two(world: World, script: str, **spec: Any) -> None:
    """An experiment whose every attempt is an indexed Job of two Pods."""
    found = json.loads(world.document(script, **spec))
    template = found["spec"]["trialTemplate"]
    pods = {"parallelism": 2, "completions": 2, "completionMode": "Indexed"}
    job = {**pods, "template": {"spec": template["trialSpec"]["spec"]}}
    template["trialSpec"] = {"apiVersion": "batch/v1", "kind": "Job", "spec": job}
    world.put(found)


def test_of_a_job_of_two_pods_the_first_is_read_and_both_go(world: World) -> None:
    world.operator()
    second = (
        "import os\nif os.environ['JOB_COMPLETION_INDEX'] == '1':\n    print('loss=-1000')\n    raise SystemExit"
    )
    _of_two(world, f"{second}\n{CURVE}", maxTrialCount=2, parallelTrialCount=1)
    seen: set[str] = set()

    def watched() -> bool:
        seen.update(pod["metadata"]["name"] for pod in world.pods())
        return bool(world.status().get("state") == "Succeeded")

    world.until("success", watched)
    assert len(seen) == 4
    assert [[step for step, _ in t.steps] for t in world.trials()] == [[1, 2, 3, 4, 5]] * 2
    assert all(t.values is not None and t.values[0] > 0 for t in world.trials())
    world.until("nothing is left", lambda: not world.pods())


def test_a_second_pod_that_fails_ends_the_trial_with_its_own_reason(world: World) -> None:
    world.operator()
    second = (
        "import os, time\nif os.environ['JOB_COMPLETION_INDEX'] == '1':\n    time.sleep(2)\n    raise SystemExit(3)"
    )
    _of_two(world, f"{second}\n{HANGS}", maxTrialCount=1)
    world.ended()
    (trial,) = world.trials()
    assert trial.outcome == "Crashed" and "exit code 3: Pod small-0-0-0-1-" in trial.message
    world.until("nothing runs", lambda: not world.running())
