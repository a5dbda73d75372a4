"""Trials of the kinds of Kubeflow's training operator, run by its own controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hack.cluster.controllers import Controller

from kubetuna_operator.kube.api_client import collection
from tests.cluster.operators import World
from tests.controllers.searches import LEADER, SEARCH, comes_to_its_end, found, pod_and_document, with_script

# The first one waits until the controller answers.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

# Where the replicas are, and the container that the controller asks for.
KINDS = {
    "PyTorchJob": ("pytorchReplicaSpecs", "pytorch"),
    "TFJob": ("tfReplicaSpecs", "tensorflow"),
    "XGBoostJob": ("xgbReplicaSpecs", "xgboost"),
    "MPIJob": ("mpiReplicaSpecs", "mpi"),
}
ENDLESS = "import time\ntime.sleep(600)"
ONE_GPU = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
# Of two trials the worker of one fails, for which its leader would wait for ever; the other's never ends by itself.
WAITS = """
import json, os, time
x = json.loads(os.environ["KUBETUNA_PARAMS"])["x"]
if x > 0.5:
    time.sleep(600)
print(json.dumps({"loss": x}), flush=True)
"""
FAILS = """
import json, os, time
if json.loads(os.environ["KUBETUNA_PARAMS"])["x"] > 0.5:
    raise SystemExit(3)
time.sleep(600)
"""
# What `kubectl exec` needs, which nobody delivers here: a token with which the workers may be asked for.
LAUNCHES = """
import json, ssl, time, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
namespace, token = (open(account + name).read() for name in ("namespace", "token"))
(worker,) = (line.split()[0] for line in open("/etc/mpi/hostfile"))
url = f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods/{worker}"
asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
trusted = ssl.create_default_context(cafile=account + "ca.crt")
while json.load(urllib.request.urlopen(asked, context=trusted))["status"]["phase"] == "Pending":
    time.sleep(0.2)
"""
# The first attempt of a trial would never end by itself.
FIRST_HANGS = """
import json, os, time
print(json.dumps({"step": 1, "loss": json.loads(os.environ["KUBETUNA_PARAMS"])["x"]}), flush=True)
time.sleep(0 if int(os.environ["KUBETUNA_ATTEMPT"]) else 600)
"""


def document(
    world: World, kind: str, scripts: Mapping[str, str], container: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """An experiment whose trials have one Pod for each role; its template would run Pods again, and delete them."""
    replicas, name = KINDS[kind]
    pod, made = pod_and_document(world, "", **spec)
    roles = {
        role: {
            "replicas": 1,
            "restartPolicy": "OnFailure",
            "template": {"spec": with_script(pod, script, **{"name": name, **(container or {})})},
        }
        for role, script in scripts.items()
    }
    made["spec"]["trialTemplate"]["trialSpec"] = {
        "apiVersion": "kubeflow.org/v1",
        "kind": kind,
        "spec": {"runPolicy": {"cleanPodPolicy": "All", "backoffLimit": 3}, replicas: roles},
    }
    return made


def objects(kind: str) -> str:
    return f"kubeflow.org/v1/{kind.lower()}s"


def test_a_search_over_pytorchjobs_comes_to_its_end(world: World, training_operator: Controller) -> None:
    """Its workers never end by themselves, and their GPUs count."""
    made = document(world, "PyTorchJob", {"Master": LEADER, "Worker": ENDLESS}, ONE_GPU, **SEARCH)
    status = comes_to_its_end(world, training_operator, made, objects("PyTorchJob"))
    attempts = [attempt for trial in world.trials() for attempt in trial.attempts]
    seconds = sum((a.ended or 0.0) - (a.started or 0.0) for a in attempts)
    assert status["spent"]["gpuHours"] == pytest.approx(2 * seconds / 3600, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "scripts"),
    [
        ("TFJob", {"Chief": WAITS, "PS": FAILS}),
        ("XGBoostJob", {"Master": WAITS, "Worker": FAILS}),
        ("MPIJob", {"Launcher": LAUNCHES + WAITS, "Worker": FAILS}),
    ],
)
def test_the_leader_ends_a_trial_well_and_any_other_badly(
    world: World, training_operator: Controller, kind: str, scripts: dict[str, str]
) -> None:
    points = {"points": [{"x": 0.2}, {"x": 0.8}]}
    made = document(world, kind, scripts, maxTrialCount=2, maxFailedTrialCount=2, warmStart=points)
    if kind == "MPIJob":
        template = made["spec"]["trialTemplate"]
        template["primaryPodLabels"] = {"mpi-job-role": "launcher"}
        launcher = template["trialSpec"]["spec"]["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]
        launcher["automountServiceAccountToken"] = True
        # Its controller puts a container into the launcher's Pod that "restricted" does not admit.
        label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
        world.api.merge(f"/api/v1/namespaces/{world.namespace}", label)
    world.operator()
    world.put(made)
    assert world.ended(within=120)["state"] == "Succeeded"
    good, bad = world.trials()
    assert (good.outcome, good.values, len(good.attempts)) == ("Succeeded", (0.2,), 1)
    assert (bad.outcome, len(bad.attempts), bad.attempts[0].exit_code) == ("Crashed", 1, 3)
    world.until("none of them runs", lambda: not world.running())


def test_a_pod_that_is_taken_away_is_a_free_retry(world: World, training_operator: Controller) -> None:
    """To its controller that is a failure like any other."""
    world.operator()
    scripts = {"Master": FIRST_HANGS, "Worker": ENDLESS}
    world.put(document(world, "PyTorchJob", scripts, maxTrialCount=1))
    world.until("it reports", lambda: len(world.running()) == 2 and world.status()["spent"]["steps"] == 1)
    world.api.delete(f"{collection('pods', world.namespace)}/small-0-0-0-master-0")
    assert world.ended(within=120)["trialsSucceeded"] == 1
    (trial,) = world.trials()
    assert [a.outcome for a in trial.attempts] == ["Deleted", "Succeeded"]
    world.until("all of it is gone", lambda: not found(world, objects("PyTorchJob")) and not world.pods())


def test_what_its_webhook_refuses_is_said_at_once(world: World, training_operator: Controller) -> None:
    world.operator()
    world.put(document(world, "PyTorchJob", {"Master": LEADER}, {"name": "trial"}))
    world.until("it stalls", lambda: world.condition("Stalled").get("status") == "True")
    assert "must have at least one container with name pytorch" in world.condition("Stalled")["message"]
