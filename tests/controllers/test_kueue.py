"""Trials in a queue, with Kueue itself: admitted as the quota allows, taken away, and never failed by that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hack.cluster.controllers import Controller

from kubetuna.experiment.model import QUEUE_LABEL
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from tests.cluster.operators import World, kill
from tests.controllers import test_jobset
from tests.controllers.searches import found

# The first one waits until the controller answers.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = "/apis/kueue.x-k8s.io/v1beta2"
GPU = "nvidia.com/gpu"
ONE_GPU = {"container": {"resources": {"limits": {GPU: 1}}}}
HELD = "kubetuna.dev/test"
# Far longer than any of it takes on a busy machine.
PATIENCE = 420.0
# The first attempt of a trial would never end by itself: how things stand meanwhile is for the test to say.
FIRST_HANGS = """
import json, os, time
print(json.dumps({"step": 1, "loss": json.loads(os.environ["KUBETUNA_PARAMS"])["x"]}), flush=True)
time.sleep(0 if int(os.environ["KUBETUNA_ATTEMPT"]) else 3600)
"""
# The first trials hang so: as many as the cluster has GPUs.
EARLY = 'os.environ["KUBETUNA_ATTEMPT"] != "0" or int(os.environ["KUBETUNA_TRIAL"]) > 3'


@dataclass
class Queue:
    """A ClusterQueue with a flavor, and a LocalQueue of the same name in the test's namespace."""

    world: World

    @property
    def name(self) -> str:
        return self.world.namespace

    def make(self) -> None:
        """All of it, without any quota yet."""
        self._put("resourceflavors", "ResourceFlavor", spec={})
        self.set(0)
        self._put(f"namespaces/{self.name}/localqueues", "LocalQueue", spec={"clusterQueue": self.name})
        for name, value in (("low", 10), ("high", 1000)):
            self._put("workloadpriorityclasses", "WorkloadPriorityClass", self.priority(name), value=value)

    def priority(self, name: str) -> str:
        return f"{self.name}-{name}"

    def set(self, gpus: int, policy: str = "None") -> None:
        """Its quota, and whether it admits (None), holds, or takes back what it has admitted as well."""
        flavor = {"name": self.name, "resources": [{"name": GPU, "nominalQuota": gpus}]}
        spec = {
            "namespaceSelector": {},
            "resourceGroups": [{"coveredResources": [GPU], "flavors": [flavor]}],
            "preemption": {"withinClusterQueue": "LowerPriority"},
            "stopPolicy": policy,
        }
        self._put("clusterqueues", "ClusterQueue", spec=spec)

    def drain(self, gpus: int) -> None:
        self.set(gpus, "HoldAndDrain")

    def _put(self, plural: str, kind: str, name: str = "", **content: Any) -> None:
        metadata = {"name": name or self.name}
        obj = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": metadata, **content}
        path = f"{ROOT}/{plural}/{metadata['name']}"
        # Its webhooks answer a moment after its Deployment is ready, and not while it starts again.
        self.world.until(f"the {kind} is taken", lambda: self._is_taken(path, obj), PATIENCE)

    def _is_taken(self, path: str, obj: dict[str, Any]) -> bool:
        try:
            self.world.api.apply(path, obj, "test")
        except (Refused, Unreachable):
            return False
        return True

    def workloads(self) -> list[dict[str, Any]]:
        path = f"{ROOT}/namespaces/{self.world.namespace}/workloads"
        found: list[dict[str, Any]] = self.world.api.get(path)["items"]
        return found

    def close(self) -> None:
        """Take all of it away while Kueue still lets go of it."""
        self.world.close()
        for obj in self.world.api.get(self.world.path)["items"]:
            self.world.api.delete(f"{self.world.path}/{obj['metadata']['name']}")
        self.world.until("all Pods are gone", lambda: not self.world.pods() and not self.workloads(), PATIENCE)
        names = [f"workloadpriorityclasses/{self.priority(name)}" for name in ("low", "high")]
        for path in (f"clusterqueues/{self.name}", f"resourceflavors/{self.name}", *names):
            self.world.api.delete(f"{ROOT}/{path}")
            self.world.until(f"{path} is gone", lambda path=path: self._is_gone(f"{ROOT}/{path}"), PATIENCE)

    def _is_gone(self, path: str) -> bool:
        try:
            self.world.api.get(path)
        except Refused as error:
            return error.code == 404
        return False


@pytest.fixture
def queue(world: World, kueue: Controller) -> Iterator[Queue]:
    """A queue without any quota yet."""
    made = Queue(world)
    made.make()
    yield made
    made.close()


def counts(world: World, *, running: int = 0, waiting: int = 0, done: int = 0, displaced: int = 0) -> None:
    """Wait until the status says so."""
    wanted = {"trialsRunning": running, "trialsInQueue": waiting, "trialsSucceeded": done}

    def as_wanted() -> bool:
        found = world.status()
        return all(found[n] == v for n, v in wanted.items()) and found.get("attemptsDisplaced", 0) == displaced

    world.until(f"{wanted}, {displaced} displaced", as_wanted, PATIENCE)


@contextmanager
def held(world: World) -> Iterator[None]:
    """The Pods that there are stay for all to see, however they end, until the block is left."""
    pods = [f"{collection('pods', world.namespace)}/{pod['metadata']['name']}" for pod in world.pods()]
    for pod in pods:
        _finalize(world, pod, lambda others: [*others, HELD])
    yield
    for pod in pods:
        _finalize(world, pod, lambda others: [other for other in others if other != HELD])


def _finalize(world: World, pod: str, change: Callable[[list[str]], list[str]]) -> None:
    """Change what a Pod waits for before it may go; what others change meanwhile stands."""

    def changed() -> bool:
        meta = world.api.get(pod)["metadata"]
        version, finalizers = meta["resourceVersion"], change(meta.get("finalizers") or [])
        try:
            world.api.merge(pod, {"metadata": {"resourceVersion": version, "finalizers": finalizers}})
        except Refused as error:
            return error.code != 409
        return True

    world.until(f"{pod} waits for what it is to", changed)


def test_as_many_run_as_the_quota_allows_and_what_is_taken_back_runs_again(world: World, queue: Queue) -> None:
    """The queue takes back what it had admitted, while the operator dies; it shrinks below what runs."""
    queue.set(2)
    operator = world.operator()
    world.apply(
        FIRST_HANGS, pod=ONE_GPU, maxTrialCount=4, parallelTrialCount=4, queueName=queue.name, startTimeout="1s"
    )
    counts(world, running=2, waiting=2)
    assert world.condition("Stalled")["status"] == "False"
    assert world.status()["message"].endswith("2 trials in a queue")
    world.until("the Trials say so", lambda: len(waiting_trials(world)) == 2, PATIENCE)
    with held(world):
        queue.drain(2)
        kill(operator)
        world.operator()
        counts(world, waiting=4, displaced=2)
    queue.set(4)
    counts(world, running=2, done=2, displaced=2)
    queue.set(1)
    assert world.status()["trialsRunning"] == 2
    queue.drain(1)
    counts(world, waiting=2, done=2, displaced=4)
    queue.set(1)
    status = world.ended(within=PATIENCE)
    assert (status["state"], status["trialsSucceeded"], status["trialsFailed"]) == ("Succeeded", 4, 0)
    assert status["spent"]["queueSeconds"] > 0
    for trial in world.trials():
        assert [(a.outcome, a.reason) for a in trial.attempts] == [
            ("Infrastructure", "StoppedByQueue"), ("Succeeded", None),
        ]  # fmt: skip
        # The first ones may have been admitted before anyone looked.
        assert trial.attempts[1].queued is not None and trial.attempts[1].admitted is not None


def test_as_many_trials_are_open_as_the_quota_allows_and_one_more(world: World, queue: Queue) -> None:
    """None is proposed for what the queue takes back; a trial that was withdrawn while it waited runs once."""
    queue.set(3)
    world.operator()
    early = FIRST_HANGS.replace('int(os.environ["KUBETUNA_ATTEMPT"])', EARLY)
    between = {"min": 1, "max": 6}
    world.apply(early, pod=ONE_GPU, maxTrialCount=8, parallelTrialCount=between, queueName=queue.name)
    counts(world, running=3, waiting=1)
    queue.set(4)
    counts(world, running=4, waiting=1)
    queue.drain(4)
    counts(world, waiting=5, displaced=4)
    world.edit(suspend=True, suspendPolicy="stop")
    world.until("what waits is withdrawn", lambda: not world.pods(), PATIENCE)
    assert len(world.trials()) == 5
    world.edit(suspend=False)
    counts(world, waiting=5, displaced=4)
    queue.set(4)
    status = world.ended(within=PATIENCE)
    assert (status["trialsSucceeded"], status["trialsFailed"], status["attemptsDisplaced"]) == (8, 0, 4)
    assert [len(trial.attempts) for trial in world.trials()] == [2] * 4 + [1] * 4


def waiting_trials(world: World) -> list[dict[str, Any]]:
    found = world.api.get(collection("trials", world.namespace))["items"]
    return [trial for trial in found if trial["status"].get("queued")]


def test_what_has_a_higher_priority_goes_first_and_nothing_fails(world: World, queue: Queue) -> None:
    queue.set(1)
    world.operator()
    for name, priority in (("small", "low"), ("urgent", "high")):
        made = json.loads(world.document(FIRST_HANGS, name, ONE_GPU, maxTrialCount=1, queueName=queue.name))
        labels = {"kueue.x-k8s.io/priority-class": queue.priority(priority)}
        made["spec"]["trialTemplate"]["trialSpec"]["metadata"] = {"labels": labels}
        world.put(made)
        world.until(f"{name} runs", lambda name=name: world.status(name)["trialsRunning"] == 1, PATIENCE)
    counts(world, waiting=1, displaced=1)
    world.api.merge(f"{world.path}/urgent", {"spec": {"shutdown": True}})
    status = world.ended(within=PATIENCE)
    assert (status["trialsSucceeded"], status["trialsFailed"], status["attemptsDisplaced"]) == (1, 0, 1)


def test_what_a_template_says_to_the_queue_arrives_and_what_waits_is_withdrawn(world: World, queue: Queue) -> None:
    topology = {"kueue.x-k8s.io/podset-preferred-topology": "cloud.provider.com/rack"}
    labels = {"kueue.x-k8s.io/priority-class": queue.priority("high"), "team": "vision"}
    queue.set(4, "Hold")
    world.operator()
    made = json.loads(world.document(FIRST_HANGS, pod=ONE_GPU, maxTrialCount=2, queueName=queue.name))
    made["spec"]["trialTemplate"]["trialSpec"]["metadata"] = {"labels": labels, "annotations": topology}
    world.put(made)
    counts(world, waiting=2)
    for pod in world.pods():
        metadata = pod["metadata"]
        assert {**labels, QUEUE_LABEL: queue.name}.items() <= metadata["labels"].items()
        assert topology.items() <= metadata["annotations"].items()
    world.until("two workloads", lambda: len(queue.workloads()) == 2, PATIENCE)
    assert {w["spec"]["priority"] for w in queue.workloads()} == {1000}
    world.edit(shutdown=True)
    status = world.ended(within=PATIENCE)
    assert (status["trialsKilled"], status["trialsFailed"]) == (2, 0)
    world.until("no Pod waits any more", lambda: not world.pods(), PATIENCE)


def test_a_jobset_is_admitted_and_taken_back_as_a_whole(world: World, jobset: Controller, queue: Queue) -> None:
    queue.set(5)
    world.operator()
    made = test_jobset.document(
        world, FIRST_HANGS, FIRST_HANGS, pod=ONE_GPU, maxTrialCount=2, parallelTrialCount=2, queueName=queue.name
    )
    world.put(made)
    counts(world, running=1, waiting=1)
    world.until("its three Pods run", lambda: len(world.running()) == 3, PATIENCE)
    # With room for one only: Kueue would admit the other before it heeds the word.
    queue.drain(5)
    counts(world, waiting=2, displaced=1)
    world.until("one JobSet each", lambda: len(found(world, test_jobset.JOBSETS)) == 2, PATIENCE)
    queue.set(6)
    counts(world, running=1, done=1, displaced=1)
    queue.drain(6)
    counts(world, waiting=1, done=1, displaced=2)
    queue.set(3)
    status = world.ended(within=PATIENCE)
    assert (status["trialsSucceeded"], status["trialsFailed"]) == (2, 0)
    assert [[a.reason for a in t.attempts] for t in world.trials()] == [["StoppedByQueue", None]] * 2
