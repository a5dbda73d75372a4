"""The failure table: what each way in which a Pod can end says of its trial, from the Pod's own JSON."""

from __future__ import annotations

from typing import Any

import pytest

from kubetuna.trials.attempts import AttemptFacts, AttemptKey, ExitFacts
from kubetuna.trials.outcome import Outcome, Reading, classify
from kubetuna_operator.kube.objects import seconds
from kubetuna_operator.pods.status import LOST_SECONDS, facts, view
from tests.unit.operator.pods import DELETED, FORGOTTEN, RUNNING, disruption, ended, pod, waiting

NOW = seconds("2026-11-24T10:01:00Z") or 0.0
GOOD = Reading({"loss": 0.5})
SHUTDOWN = "Pod was terminated in response to imminent node shutdown."
OWN_STORAGE = (
    "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
    'Container trial exceeded its local ephemeral storage limit "1Mi". ',
    'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". ',
)


def seen(found: dict[str, Any], now: float = NOW) -> AttemptFacts:
    return facts(view(found), now)


def outcome(found: dict[str, Any], reading: Reading = GOOD, stop: str | None = None) -> tuple[Outcome, str]:
    """What the trial is told for this Pod."""
    attempt = seen(found)
    assert attempt.phase == "ended"
    told = classify(attempt.exit or ExitFacts(), stop, "go", reading)
    return told.outcome, told.message


ENDS: dict[str, tuple[dict[str, Any], Outcome, str]] = {
    "exit code 0": (pod("Succeeded", ended(0)), Outcome.SUCCEEDED, ""),
    "a crash": (pod("Failed", ended(1, message="Traceback\nValueError: bad")), Outcome.CRASHED, "ValueError: bad"),
    "a reserved exit code": (pod("Failed", ended(42)), Outcome.CRASHED, "exit code 42"),
    "a segmentation fault": (pod("Failed", ended(139)), Outcome.CRASHED, "exit code 139"),
    "out of memory": (pod("Failed", ended(137, "OOMKilled")), Outcome.OUT_OF_MEMORY, "out of memory"),
    "killed by nobody known": (pod("Failed", ended(137)), Outcome.KILLED, "killed"),
    "a container that cannot run": (
        pod("Failed", ended(128, "StartError", 'exec: "pythn": not found')), Outcome.START_ERROR, "pythn",
    ),
    "preempted": (
        pod("Failed", ended(143), conditions=(disruption("PreemptionByScheduler"),)),
        Outcome.INFRASTRUCTURE, "PreemptionByScheduler",
    ),
    "stopped by a queue": (
        pod("Failed", ended(143), conditions=({**disruption("Preempted"), "type": "TerminationTarget"},)),
        Outcome.INFRASTRUCTURE, "StoppedByQueue: Preempted",
    ),
    "taken away by a taint": (
        pod("Failed", ended(143), conditions=(disruption("DeletionByTaintManager"),)),
        Outcome.INFRASTRUCTURE, "DeletionByTaintManager",
    ),
    "evicted through the API": (
        pod("Failed", ended(137), metadata=DELETED, conditions=(disruption("EvictionByEvictionAPI"),)),
        Outcome.INFRASTRUCTURE, "EvictionByEvictionAPI",
    ),
    "evicted, and saved before it left": (
        pod("Succeeded", ended(0), metadata=DELETED, conditions=(disruption("EvictionByEvictionAPI"),)),
        Outcome.INFRASTRUCTURE, "EvictionByEvictionAPI",
    ),
    "collected with its node": (
        pod("Failed", RUNNING, conditions=(disruption("DeletionByPodGC"),)),
        Outcome.INFRASTRUCTURE, "DeletionByPodGC",
    ),
    "ended by the kubelet": (
        pod("Failed", ended(137), conditions=(disruption("TerminationByKubelet"),), reason="Evicted"),
        Outcome.INFRASTRUCTURE, "TerminationByKubelet",
    ),
    "evicted by a node under pressure": (
        pod("Failed", reason="Evicted", message="The node was low on resource: memory. "),
        Outcome.INFRASTRUCTURE, "low on resource",
    ),
    "a spot node reclaimed": (
        pod("Failed", ended(143), reason="Terminated", message=SHUTDOWN), Outcome.INFRASTRUCTURE, "NodeShutdown",
    ),
    "a spot node reclaimed, its Pod deleted": (pod("Running", ended(143), metadata=DELETED), Outcome.DELETED, ""),
    "deleted, seen when the kubelet was done with it": (
        pod("Failed", ended(137), metadata=FORGOTTEN), Outcome.DELETED, "",
    ),
    "deleted, and saved before it left, seen when the kubelet was done with it": (
        pod("Succeeded", ended(0), metadata=FORGOTTEN), Outcome.DELETED, "",
    ),
    "a Job's, deleted, seen when the kubelet was done with it": (
        pod("Failed", ended(143), metadata={**FORGOTTEN, "finalizers": ["x"]}), Outcome.DELETED, "",
    ),
    "a Job's, deleted after its end": (
        pod("Succeeded", ended(0), metadata={**FORGOTTEN, "finalizers": ["x"]}), Outcome.SUCCEEDED, "",
    ),
    "deleted, and saved before it left": (pod("Running", ended(0), metadata=DELETED), Outcome.DELETED, ""),
    "deleted after its own end": (
        pod("Succeeded", ended(0, finishedAt="2026-11-24T10:00:10Z"), metadata=DELETED), Outcome.SUCCEEDED, "",
    ),
    "a state that the kubelet lost": (
        pod("Failed", ended(137, "ContainerStatusUnknown")), Outcome.INFRASTRUCTURE, "NodeLost",
    ),
    "refused by the kubelet": (
        pod("Failed", reason="UnexpectedAdmissionError", message="Allocate failed due to no healthy devices"),
        Outcome.INFRASTRUCTURE, "no healthy devices",
    ),
    "a node whose GPUs were taken meanwhile": (
        pod("Failed", reason="OutOfnvidia.com/gpu", message="Node didn't have enough resource"),
        Outcome.INFRASTRUCTURE, "OutOfGpu",
    ),
    "a node that changed its labels": (
        pod("Failed", reason="NodeAffinity", message="Predicate NodeAffinity failed"),
        Outcome.INFRASTRUCTURE, "NodeAffinity",
    ),
    "ended well, and refused by a kubelet that restarted": (
        pod("Failed", ended(0), reason="UnexpectedAdmissionError"), Outcome.SUCCEEDED, "",
    ),
    "its own deadline": (
        pod("Failed", ended(143), reason="DeadlineExceeded", message="Pod was active on the node longer than"),
        Outcome.TIMED_OUT, "longer than",
    ),
    "an init container that fails": (
        pod("Failed", waiting("PodInitializing"), inits={"fetch": ended(7, message="no such dataset")}),
        Outcome.CRASHED, "init container 'fetch': no such dataset",
    ),
    "an init container out of memory": (
        pod("Failed", waiting("PodInitializing"), inits={"fetch": ended(137, "OOMKilled")}),
        Outcome.OUT_OF_MEMORY, "fetch",
    ),
    "a sidecar that goes on": (pod("Running", ended(0), others={"sidecar": RUNNING}), Outcome.SUCCEEDED, ""),
    "a sidecar that fails": (pod("Failed", ended(0), others={"sidecar": ended(1)}), Outcome.SUCCEEDED, ""),
    "a native sidecar killed at the end": (
        pod("Succeeded", ended(0), inits={"proxy": ended(137)}), Outcome.SUCCEEDED, "",
    ),
    "gone without a word": (pod("Failed"), Outcome.INFRASTRUCTURE, "its end was not seen"),
}  # fmt: skip


@pytest.mark.parametrize("row", ENDS)
def test_what_an_end_means(row: str) -> None:
    found, wanted, words = ENDS[row]
    told, message = outcome(found)
    assert told is wanted and words in message


@pytest.mark.parametrize("row", ENDS)
def test_an_end_is_the_same_whenever_it_is_looked_at(row: str) -> None:
    """What waits for a while after an end would wait for ever, were it moved on at every look."""
    found = ENDS[row][0]
    assert seen(found, NOW + 3600) == seen(found)


@pytest.mark.parametrize("message", OWN_STORAGE)
def test_a_pod_that_breaks_its_own_limit_on_storage_has_failed_itself(message: str) -> None:
    told, text = outcome(pod("Failed", reason="Evicted", message=message))
    assert told is Outcome.CRASHED and "storage" in text


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        (Reading({}, missing=("loss",)), Outcome.METRICS_UNAVAILABLE),
        (Reading({}, invalid={"loss": "nan"}), Outcome.NON_FINITE),
        (Reading({}, missing=("loss",), announced="OutOfMemory"), Outcome.OUT_OF_MEMORY),
    ],
)
def test_what_the_log_says_of_a_good_end(reading: Reading, wanted: Outcome) -> None:
    assert outcome(pod("Succeeded", ended(0)), reading)[0] is wanted


@pytest.mark.parametrize("stop", ["Pruned", "Stopped", "Suspended"])
def test_a_pod_that_we_stopped_ended_as_we_meant_it(stop: str) -> None:
    """The stop is a deadline of one second, so that is what Kubernetes says of it."""
    found = pod("Failed", ended(143), reason="DeadlineExceeded")
    attempt = seen(found)
    verdict = "prune" if stop == "Pruned" else "go"
    assert classify(attempt.exit or ExitFacts(), stop, verdict, GOOD).outcome == stop


@pytest.mark.parametrize(
    ("phase", "told"),
    [("Running", Outcome.PRUNED), ("Succeeded", Outcome.SUCCEEDED), ("Failed", Outcome.PRUNED)],
)
def test_exit_code_0_of_a_pod_that_we_stop_is_its_own_end_only_where_the_kubelet_says_so(
    phase: str, told: Outcome
) -> None:
    """A trainer may save and leave with 0 when stopped, and the kubelet names the deadline only at the end."""
    found = pod(phase, ended(0), **({"reason": "DeadlineExceeded"} if phase == "Failed" else {}))
    found["spec"]["activeDeadlineSeconds"] = 1
    attempt = seen(found)
    assert classify(attempt.exit or ExitFacts(), "Pruned", "prune", GOOD).outcome is told


@pytest.mark.parametrize(
    "reason",
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"],
)
def test_a_template_that_cannot_start_is_said_at_once(reason: str) -> None:
    found = pod("Pending", waiting(reason, "no such thing"))
    attempt = seen(found)
    assert attempt.phase == "pending" and attempt.waiting == f"{reason}: no such thing"


def test_a_pod_that_finds_no_place_is_waited_for_as_long_as_it_takes() -> None:
    scheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes: no GPU",
    }
    attempt = seen(pod("Pending", conditions=(scheduled,)), NOW + 1e6)
    assert (attempt.phase, attempt.waiting) == ("pending", "Unschedulable: 0/1 nodes: no GPU")


def test_a_pod_held_by_a_queue_is_waited_for() -> None:
    attempt = seen(gated("kueue.x-k8s.io/admission"), NOW + 1e6)
    assert (attempt.phase, attempt.queued, attempt.waiting) == ("pending", True, None)


def test_another_gate_is_no_queue() -> None:
    attempt = seen(gated("example.com/wait"), NOW + 1e6)
    assert (attempt.phase, attempt.queued, attempt.waiting) == ("pending", False, "SchedulingGated: by a gate")


def test_what_is_taken_out_of_a_queue_waits_no_more() -> None:
    assert not seen(gated("kueue.x-k8s.io/admission", metadata=DELETED)).queued


def gated(gate: str, **found: Any) -> dict[str, Any]:
    """A Pod with a gate."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "by a gate"}
    made = pod("Pending", conditions=(condition,), **found)
    made["spec"] = {**made["spec"], "nodeName": None, "schedulingGates": [{"name": gate}]}
    return made


def test_a_pod_on_a_node_that_does_not_answer_is_lost_after_a_while() -> None:
    """It stays "Running" for ever, since only its kubelet could say that it has ended."""
    found = pod("Running", RUNNING, metadata=DELETED, conditions=(disruption("DeletionByTaintManager"),))
    due = seconds(DELETED["deletionTimestamp"]) or 0.0  # type: ignore[arg-type]
    assert seen(found, due + LOST_SECONDS - 1).phase == "running"
    late = seen(found, due + LOST_SECONDS + 1)
    assert late.ended is None
    assert late.exit == ExitFacts(reason="NodeLost", message="its node does not answer")


def test_what_is_known_of_a_pod_that_runs() -> None:
    attempt = seen(pod("Running", RUNNING))
    assert (attempt.key, attempt.phase, attempt.node) == (AttemptKey(3, 1), "running", "node-1")
    assert attempt.started == seconds("2026-11-24T10:00:02Z") and attempt.exit is None


@pytest.mark.parametrize("state", [None, {}, waiting("ContainerCreating")])
def test_a_pod_that_is_being_made_is_pending(state: dict[str, Any] | None) -> None:
    assert seen(pod("Pending", state)).phase == "pending"


def test_a_container_that_was_started_again_has_ended_as_it_did_before() -> None:
    """A runtime's Pods may be tried again where they are: an attempt runs once."""
    again = pod("Running", RUNNING)
    again["status"]["containerStatuses"][0] |= {"lastState": ended(3), "restartCount": 1}
    assert outcome(again)[0] is Outcome.CRASHED and (seen(again).exit or ExitFacts()).exit_code == 3
