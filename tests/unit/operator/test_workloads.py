"""Attempts of several Pods: which is read, what their ends mean together, and what becomes of them all."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubetuna.experiment.model import QUEUE_LABEL
from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptRequest, ExitFacts
from kubetuna_operator import LABEL_PRIMARY, LABEL_TOLD
from kubetuna_operator.backend import ClusterBackend
from kubetuna_operator.context import ExperimentRef
from kubetuna_operator.kube.api_client import collection
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.workloads import removal
from kubetuna_operator.workloads.executor import PodExecutor
from kubetuna_operator.workloads.members import settled
from kubetuna_operator.workloads.pod_logs import PodLogs
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure, forbidden
from tests.apiserver.operating import Process
from tests.apiserver.resources import (
    EVENTS,
    JOBS,
    JOBSETS,
    PODS,
    PYTORCH_JOBS,
    TRAIN_JOBS,
    WORKFLOWS,
    Object,
    Resource,
    Target,
)
from tests.contract.test_executor import IN_PHASE, POD, WORKLOADS
from tests.fakes import look
from tests.local.runs import experiment
from tests.unit.operator.test_pod_executor import KEY, NAME, order

INDEX = "batch.kubernetes.io/job-completion-index"


class Works:
    """A place that makes one kind of workload. Nothing in its cluster happens but by the test's word."""

    def __init__(self, folder: Path, workload: Object, **template: Any) -> None:
        document = json.loads(experiment("", startTimeout="60s"))
        document["spec"]["trialTemplate"] |= {"trialSpec": workload, **template}
        self.cluster = Cluster()
        self.ref = ExperimentRef(self.cluster.make_owner(document), 1)
        self.process = Process(self.cluster, f"sqlite:///{folder}/study.db")
        self.process.watch_pods()
        self.spec = parse_experiment(document)
        self.place = self.take_over()

    def take_over(self) -> PodExecutor:
        return PodExecutor(self.process.context, self.spec, self.ref)

    def take_over_with(self, launch: AttemptRequest) -> PodExecutor:
        """Whoever comes next knows nothing but what was ordered."""
        place = self.take_over()
        place.launch(launch)
        return place

    def take(self, pod: Object, gently: bool) -> None:
        """Its controller takes a Pod away, which is seen to end or is gone."""
        name = pod["metadata"]["name"]
        if gently:
            # As Jobs have it, to count what has ended.
            held = {"finalizers": ["batch.kubernetes.io/job-tracking"]}
            self.cluster.server.change(pod, lambda p: p["metadata"].update(held))
            self.cluster.api().delete(f"{collection('pods', NAMESPACE)}/{name}")
            self.kubelet.exit(name, 143)
        else:
            self.kubelet.lose(name)

    @property
    def kubelet(self) -> Any:
        return self.cluster.kubelet

    def pods(self, count: int) -> dict[str, Object]:
        """All Pods by name, once there are that many."""
        self.cluster.until(lambda: len(self.kubelet.pods()) == count)
        return {pod["metadata"]["name"]: pod for pod in self.kubelet.pods()}

    def run(self, *names: str) -> None:
        for name in names:
            self.kubelet.schedule(name)
            self.kubelet.start(name)

    def facts(self) -> AttemptFacts | None:
        return next((f for f in look(self.place) if f.key == KEY), None)

    def until(self, check: Any) -> AttemptFacts:
        def look() -> AttemptFacts | None:
            self.cluster.clock.time += 1
            facts = self.facts()
            return facts if facts and check(facts) else None

        found: AttemptFacts = self.cluster.until(look)
        return found

    def ended(self) -> AttemptFacts:
        return self.until(lambda f: f.phase == "ended")

    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.cluster.server.objects.of(EVENTS)]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Works] = []

    def works(name: str | Object, **template: Any) -> Works:
        made.append(Works(tmp_path, WORKLOADS[name] if isinstance(name, str) else name, **template))
        made[-1].place.launch(order())
        return made[-1]

    yield works
    for one in made:
        one.process.close()


FLOW = {"successCondition": IN_PHASE.format("Succeeded"), "failureCondition": IN_PHASE.format("Failed")}
TRAINING = (f"{NAME}-master-0", f"{NAME}-worker-0", f"{NAME}-worker-1")
LEADER, WORKER, OTHER = TRAINING


def training(make: Any) -> Works:
    """A PyTorchJob of which all Pods run, and are seen to."""
    works: Works = make("a PyTorchJob")
    works.pods(3)
    works.run(*TRAINING)
    works.until(lambda f: f.phase == "running")
    return works


def told_to_end(works: Works, name: str) -> None:
    """Wait until the API server has what ends a Pod."""
    works.cluster.until(lambda: (works.facts(), works.kubelet.pod(name)["spec"].get("activeDeadlineSeconds"))[1])


def test_of_an_indexed_job_the_first_index_is_read_whichever_came_first(make: Any) -> None:
    works = make("an indexed Job of two")
    pods = works.pods(2)
    first = next(p for p in pods.values() if p["metadata"]["labels"][INDEX] == "0")
    works.run(*pods)
    assert works.until(lambda f: f.phase == "running").uid == first["metadata"]["uid"]
    assert all(environment(pod)["KUBETUNA_TRIAL"] == "0" for pod in pods.values())


def environment(pod: Object) -> dict[str, str]:
    return {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0]["env"]}


def test_of_a_job_without_indices_who_was_read_first_stays_it(make: Any) -> None:
    works = make("a Job of two")
    pods = works.pods(2)
    works.run(*pods)
    uid = works.until(lambda f: f.phase == "running").uid
    for pod in pods:
        works.kubelet.print(pod, "a line")
    works.cluster.clock.time += 5
    assert {(f := works.facts()) and f.uid for _ in range(3)} == {uid}
    later = works.take_over()
    (again,) = later.observe()
    assert again.uid == uid


def test_what_failed_first_explains_the_rest(make: Any) -> None:
    """A worker without memory ends its leader with a broken connection: that says nothing of the parameters."""
    works = training(make)
    works.kubelet.run_out_of_memory(OTHER)
    works.cluster.clock.time += 2
    works.kubelet.exit(LEADER, 1, message="connection reset by peer")
    facts = works.ended()
    assert facts.exit is not None and facts.exit.reason == "OOMKilled" and f"Pod {OTHER}" in facts.exit.message


def test_a_worker_that_is_taken_away_is_nobodys_fault(make: Any) -> None:
    works = training(make)
    works.kubelet.evict(WORKER)
    facts = works.ended()
    assert facts.exit is not None and facts.exit.reason == "TerminationByKubelet"


@pytest.mark.parametrize("name", [TRAINING[0], TRAINING[1]])
def test_a_pod_that_is_taken_away_is_no_failure_though_its_controller_calls_it_one(make: Any, name: str) -> None:
    works = training(make)
    works.take(works.kubelet.pod(name), gently=True)
    if name != LEADER:
        works.cluster.until(lambda: works.facts() and works.place._taken)
        works.kubelet.lose(name)
        works.kubelet.heed(LEADER, 0)
    facts = works.ended()
    assert facts.exit is not None and facts.exit.reason == "Deleted"


def test_the_deletion_of_a_pod_is_no_failure_of_a_kind_of_its_own_whose_condition_says_so(make: Any) -> None:
    works = make(WORKLOADS["a kind of its own"], **FLOW)
    (name,) = works.pods(1)
    works.run(name)
    works.until(lambda f: f.phase == "running")
    works.take(works.kubelet.pod(name), gently=True)
    flows = works.cluster.server.objects
    works.cluster.until(lambda: [f["status"]["phase"] for f in flows.of(WORKFLOWS) if "status" in f] == ["Failed"])
    facts = works.ended()
    assert facts.exit is not None and facts.exit.reason == "Deleted"


@pytest.mark.parametrize("seen", [True, False])
def test_a_leader_that_its_job_takes_away_after_a_worker_failed_was_not_deleted(make: Any, seen: bool) -> None:
    """Whether it is still there when someone looks, or not."""
    works = make("an indexed Job of two")
    pods = works.pods(2)
    works.run(*pods)
    works.until(lambda f: f.phase == "running")
    leader, worker = sorted(pods, key=lambda name: pods[name]["metadata"]["labels"][INDEX])
    if seen:
        works.kubelet.heed(leader, None)
    works.kubelet.exit(worker, 3, message="ValueError: no such file")
    works.cluster.step()
    if seen:
        facts = works.until(lambda f: (works.place._failing.exit(KEY) or ExitFacts()).exit_code == 3)
        assert facts.phase == "running", "until it has ended too"
        works.cluster.advance(60.0)
    gone = works.place.gone
    end = works.ended().exit if seen else works.cluster.until(lambda: works.facts() is None and gone(KEY))
    assert end is not None and end.exit_code == 3 and "ValueError" in end.message and worker in end.message


def test_a_stop_ends_the_leader_first_and_keeps_its_log_until_it_is_told(make: Any) -> None:
    works = make("an indexed Job of two")
    pods = works.pods(2)
    leader = next(n for n, p in pods.items() if p["metadata"]["labels"][INDEX] == "0")
    (worker,) = {*pods} - {leader}
    works.kubelet.heed(leader, 0, "saved")
    works.run(*pods)
    works.until(lambda f: f.phase == "running")
    works.place.stop(KEY, "Pruned")
    assert "activeDeadlineSeconds" not in works.kubelet.pod(worker)["spec"]
    works.cluster.advance(2)
    facts = works.ended()
    assert facts.exit is not None and not facts.exit.by_itself
    chunk = PodLogs(works.process.context, works.ref, "trial", works.place).read(KEY, "")
    assert chunk.lines[0] == b"saved" and chunk.drained
    works.place.delete(KEY)
    works.cluster.until(lambda: (works.cluster.advance(31), not works.kubelet.pods())[1])
    assert not works.cluster.server.objects.of(JOBS)


def test_a_leader_that_has_ended_waits_for_the_others_and_a_stop_ends_those(make: Any) -> None:
    works = make("an indexed Job of two")
    pods = works.pods(2)
    leader = next(n for n, p in pods.items() if p["metadata"]["labels"][INDEX] == "0")
    works.run(*pods)
    works.until(lambda f: f.phase == "running")
    works.kubelet.exit(leader, 0)
    for _ in range(3):
        assert works.until(lambda f: f.uid).phase == "running"
    works.place.stop(KEY, "Stopped")
    assert works.until(lambda f: f.stopping)
    works.cluster.advance(31)
    facts = works.ended()
    assert facts.exit is not None


def test_a_pod_that_is_gone_is_deleted_once_though_a_watch_is_silent(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = make({"apiVersion": "v1", "kind": "Pod", **POD})
    works.cluster.until(lambda: works.process.context.pods.of(works.ref.owner.uid))
    assert works.facts().phase == "pending"
    monkeypatch.setattr(PodIndex, "update", lambda *_: None)
    for _ in range(5):
        works.place.stop(KEY, "Stopped")
    asked = ("DELETE", f"{collection('pods', NAMESPACE)}/{NAME}")
    assert works.process.asked.count(asked) == 2, "the second time it is told that there is none"


def test_what_made_a_pod_and_is_gone_is_not_deleted_again_and_again(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its Pod is there yet, and that deletion is not taken."""
    works = training(make)
    monkeypatch.setattr(works.cluster.server.deletion, "collect", lambda: False)
    (job,) = works.cluster.server.objects.of(PYTORCH_JOBS)
    works.cluster.server.writes.remove(PYTORCH_JOBS, job)
    pod = works.place.find(KEY)
    assert pod is not None
    for _ in range(5):
        works.place._removal.take_away(pod, again=True)
    assert works.process.asked.count(("DELETE", f"{works.place._makers.collection.path()}/{NAME}")) == 1


def test_what_a_leader_has_finished_is_not_lost_since_a_stop_ended_a_worker(make: Any) -> None:
    """To its JobSet, or its PyTorchJob, that is a failure of the whole; nothing of it had failed."""
    works = training(make)
    works.cluster.workloads.asleep = True
    works.kubelet.exit(LEADER, 0)
    works.cluster.until(lambda: any(p.exit for p in works.process.context.pods.of(works.ref.owner.uid)))
    works.place.stop(KEY, "Suspended")
    told_to_end(works, WORKER)
    for name in (WORKER, OTHER):
        works.kubelet.exit(name, 143)
    fail(works)
    end = works.ended().exit
    assert end is not None and end.by_itself


def with_a_crashed_leader(make: Any) -> Works:
    """Training whose leader has failed while its workers run."""
    works = training(make)
    works.kubelet.exit(LEADER, 3)
    works.ended()
    return works


def test_a_failure_that_is_kept_to_be_looked_at_holds_no_gpu(make: Any) -> None:
    works = with_a_crashed_leader(make)
    works.place.delete(KEY)
    works.cluster.until(lambda: (works.cluster.advance(31), len(works.kubelet.pods()) == 1)[1])
    assert works.kubelet.pods()[0]["metadata"]["name"] == LEADER


def test_beside_a_failure_that_is_kept_nothing_runs_on_though_the_server_lost_its_deletion(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "UNSEEN_SECONDS", 0.01)
    works = with_a_crashed_leader(make)
    works.cluster.server.forgets = True
    asked = ("DELETE", f"{collection('pods', NAMESPACE)}/{OTHER}")
    works.place.delete(KEY)
    works.cluster.until(lambda: works.process.asked.count(asked) > 1)
    works.cluster.server.forgets = False
    works.cluster.until(lambda: (works.cluster.advance(31), len(works.kubelet.pods()) == 1)[1])


def test_a_pod_whose_job_is_gone_is_stopped_itself_where_nobody_collects_it(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = make("a PyTorchJob")
    works.pods(3)
    works.until(lambda f: f.phase == "pending" and f.uid)
    works.cluster.workloads.asleep = True
    monkeypatch.setattr(works.cluster.server.deletion, "collect", lambda: False)
    works.place.stop(KEY, "Stopped")
    assert not works.cluster.server.objects.of(PYTORCH_JOBS) and LEADER in works.pods(3)
    works.place.stop(KEY, "Stopped")
    assert LEADER not in works.pods(2)


def test_no_attempt_begins_while_pods_of_the_one_before_run(make: Any) -> None:
    works = training(make)
    works.kubelet.heed(WORKER, None)
    works.kubelet.exit(LEADER, 3)
    works.ended()
    following = AttemptKey(0, 1)
    works.place.launch(replace(order(), key=following, name="small-0-1-0"))

    def waiting() -> str | None:
        return next((f.waiting for f in look(works.place) if f.key == following), None)

    def jobs() -> list[str]:
        if retry := works.place.unfinished():
            retry()
        return sorted(job["metadata"]["name"] for job in works.cluster.server.objects.of(PYTORCH_JOBS))

    assert "of an earlier attempt has not ended yet" in (waiting() or "")
    works.place.delete(KEY)
    works.cluster.advance(10)
    assert jobs() == [NAME], "a worker saves yet"
    works.cluster.until(lambda: (works.cluster.advance(31), jobs() == [NAME, "small-0-1-0"])[1])
    assert waiting() is None


def test_a_failure_is_no_word_on_a_pod_that_was_made_anew(make: Any) -> None:
    """Its controller may recover by itself from what was taken away, and then all of it ends well."""
    works = training(make)
    works.kubelet.heed(LEADER, None)
    works.kubelet.disrupt(WORKER, "DeletionByTaintManager", "node is unreachable")
    works.kubelet.exit(WORKER, 0)
    works.until(lambda _: works.place._failing.exit(KEY))
    for name in TRAINING:
        works.kubelet.lose(name)
    works.cluster.until(lambda: len(works.kubelet.pods()) == 3)
    works.run(*TRAINING)
    for name in reversed(TRAINING):
        works.kubelet.exit(name, 0)
    end = works.until(lambda f: f.phase == "ended" and f.exit and not works.place._failing.exit(KEY)).exit
    assert end is not None and end.by_itself


def test_where_a_stop_is_refused_what_made_the_pod_goes_with_it(make: Any) -> None:
    """A webhook that lets nobody change Pods: deleted alone, the Pod would be made anew and train again."""
    works = training(make)

    def review(resource: Resource, _: Object, after: Object) -> None:
        if resource == PODS and "activeDeadlineSeconds" in after["spec"]:
            raise forbidden(PODS, after["metadata"]["name"], "Pods are never changed")

    works.cluster.server.writes.reviews.append(review)
    works.place.stop(KEY, "Stopped")
    assert not works.cluster.server.objects.of(PYTORCH_JOBS)
    works.cluster.until(lambda: (works.cluster.advance(31), not works.kubelet.pods())[1])


def test_what_made_a_pod_that_was_taken_away_goes_before_the_next_attempt(make: Any) -> None:
    """Its controller would make that Pod anew, and both attempts would run."""
    works = training(make)
    works.kubelet.exit(WORKER, 0)
    works.kubelet.exit(OTHER, 0)
    works.cluster.workloads.asleep = True
    works.kubelet.lose(LEADER)
    works.cluster.until(lambda: works.facts() is None and works.place.gone(KEY))
    works.place.launch(replace(order(), key=AttemptKey(0, 1), name="small-0-1-0"))
    assert [job["metadata"]["name"] for job in works.cluster.server.objects.of(PYTORCH_JOBS)] == ["small-0-1-0"]


@pytest.mark.parametrize("name", ["a JobSet", "a TrainJob"])
def test_a_jobset_is_gone_once_its_jobs_are_and_none_makes_a_pod_meanwhile(
    make: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector may be slow: a trial that was told by then would run once more, and for nobody."""
    works = make(name)
    with monkeypatch.context() as asleep:
        asleep.setattr(works.cluster.jobs, "tick", lambda: False)
        works.cluster.until(lambda: works.cluster.server.objects.of(JOBS))
        with monkeypatch.context() as slow:
            slow.setattr(works.cluster.server.deletion, "collect", lambda: False)
            works.place.delete(KEY)
            assert not works.place.absent(KEY)
        works.cluster.until(lambda: not works.cluster.server.objects.of(JOBSETS))
    works.cluster.clock.time += 6
    assert works.place.absent(KEY) and not works.cluster.server.objects.of(JOBS) and not works.kubelet.pods()


def test_a_strangers_jobset_is_not_taken_for_what_a_trainjob_has_left(make: Any) -> None:
    """Nor one of a TrainJob of that name; what is ours has our words in its Pods' templates."""
    works = make("a TrainJob")
    works.cluster.workloads.asleep = True
    (job,) = works.cluster.server.objects.of(TRAIN_JOBS)
    owner = {"apiVersion": job["apiVersion"], "kind": "TrainJob", "name": NAME, "uid": job["metadata"]["uid"]}
    body = {
        "metadata": {"name": NAME, "ownerReferences": [owner]},
        "spec": {"replicatedJobs": [{"name": "node", "template": {"spec": {"template": POD}}}]},
    }
    works.cluster.server.writes.create(Target(JOBSETS, NAMESPACE), body, {})
    works.place._makers.remove_made(KEY)
    assert not works.cluster.server.objects.of(TRAIN_JOBS) and not works.place._makers.may_be_made(KEY)
    works.place._makers.remove_made(KEY)
    (other,) = works.cluster.server.objects.of(JOBSETS)
    assert not other["metadata"].get("deletionTimestamp")


@pytest.mark.parametrize("code", [403, 409])
def test_what_a_trainjob_has_left_is_waited_for_only_where_it_may_be_seen(make: Any, code: int) -> None:
    """By an older chart's rights nobody would ever say that it is gone; any other refusal says nothing of it."""
    works = make("a TrainJob")

    def forbid(method: str, path: str) -> None:
        if "/jobsets/" in path and method == "GET":
            raise Failure(code, "Refused", "no")

    works.cluster.server.writes.remove(TRAIN_JOBS, works.cluster.server.objects.of(TRAIN_JOBS)[0])
    works.process.before = forbid
    assert works.place._makers.may_be_made(KEY) is (code != 403)


def test_an_object_of_a_kind_of_its_own_ends_by_its_conditions(make: Any) -> None:
    step = WORKLOADS["a kind of its own"]["spec"]["steps"][0]
    flow = {
        **WORKLOADS["a kind of its own"],
        "spec": {"steps": [step, {"metadata": {"labels": {"a": "b"}}, **step}]},
    }
    works = make(flow, **FLOW)
    (first,) = works.pods(1)
    works.run(first)
    works.until(lambda f: f.phase == "running")
    works.kubelet.exit(first, 0)
    assert works.until(lambda f: f.started).phase == "running"
    (second,) = {*works.pods(2)} - {first}
    works.run(second)
    works.kubelet.exit(second, 5)
    own = works.place._pods.of
    works.cluster.until(lambda: any(p.name == second and p.exit for p in own(works.place._owner.uid)))
    facts = works.ended()
    assert facts.exit is not None and facts.exit.exit_code == 5 and second in facts.exit.message


@pytest.mark.parametrize("bound", [True, False])
def test_a_worker_that_fails_before_the_first_pod_has_started_ends_the_attempt(make: Any, bound: bool) -> None:
    """The attempt was launched again and again under the same number, and no retry counted."""
    works = make("a PyTorchJob")
    works.pods(3)
    leader, *workers = TRAINING
    if bound:
        works.kubelet.schedule(leader)
    works.run(*workers)
    works.until(lambda f: f.phase == "pending" and f.uid)
    works.kubelet.exit(workers[0], 3, message="ValueError: no such file")
    end = works.ended().exit
    assert end is not None and end.exit_code == 3 and "ValueError" in end.message
    assert not [p for p in works.kubelet.pods() if p["status"]["phase"] == "Pending"], "none starts any more"
    assert works.ended().exit == end, "until it is forgotten"


def test_conditions_that_never_hold_do_not_keep_a_trial_for_ever(make: Any) -> None:
    works = make("a kind of its own", successCondition="status.done", failureCondition="status.broken")
    (name,) = works.pods(1)
    works.run(name)
    works.until(lambda f: f.phase == "running")
    works.kubelet.exit(name, 0)
    before = works.cluster.clock.time
    facts = works.ended()
    assert facts.exit is not None and facts.exit.by_itself and works.cluster.clock.time > before + 60


def test_labels_that_name_two_pods_are_said_and_one_is_read(make: Any) -> None:
    works = make("a Job of two", primaryPodLabels={"job-name": NAME})
    pods = works.pods(2)
    works.run(*pods)
    works.until(lambda f: f.phase == "running" and "SeveralPrimaryPods" in works.reasons())


def test_labels_that_name_no_pod_end_the_attempt_with_the_labels(make: Any) -> None:
    works = make("a PyTorchJob", primaryPodLabels={"role": "chief"})
    works.pods(3)
    works.run(*TRAINING)
    assert works.facts() is None or works.until(lambda f: f.phase == "pending")
    for name in TRAINING:
        works.kubelet.exit(name, 0)
    facts = works.ended()
    assert facts.exit is not None and facts.exit.reason == "StartError"
    assert "none of the 3 Pods" in facts.exit.message and "role=chief" in facts.exit.message


@pytest.mark.parametrize(("name", "resource", "end"), [
    ("a Job", JOBS, "Complete"), ("a JobSet", JOBSETS, "Completed"), ("a PyTorchJob", PYTORCH_JOBS, "Succeeded"),
])  # fmt: skip
def test_what_succeeded_before_its_pod_was_seen_is_run_again_as_what_was_deleted(
    make: Any, name: str, resource: Any, end: str
) -> None:
    """Nothing was read of it: no value is invented, and the same attempt is not made for ever."""
    works = make(name)
    works.cluster.workloads.asleep = True
    (made,) = works.cluster.server.objects.of(resource)
    done = {"conditions": [{"type": end, "status": "True"}]}
    works.cluster.server.change(made, lambda o: o.update(status=done), resource)
    works.cluster.clock.time += 6
    facts = works.facts()
    assert facts is not None and facts.exit is not None and facts.exit.reason == "Deleted"
    assert "succeeded, and its Pod was gone before it was read" in facts.exit.message
    works.place.delete(KEY)
    works.cluster.until(lambda: not works.cluster.server.objects.of(resource))


def hold(works: Works, resource: Any, suspended: bool) -> None:
    """Kueue suspends an object, or lets it go."""

    def edit(obj: Object) -> None:
        holder = obj["spec"].setdefault("runPolicy", {}) if resource == PYTORCH_JOBS else obj["spec"]
        holder["suspend"] = suspended

    for one in works.cluster.server.objects.of(resource):
        works.cluster.server.change(one, edit, resource)


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize(("name", "resource"), [
    ("a Job", JOBS), ("a Job of two", JOBS), ("a JobSet", JOBSETS), ("a PyTorchJob", PYTORCH_JOBS),
])  # fmt: skip
def test_what_its_queue_suspends_waits_and_what_it_takes_back_is_tried_again(
    make: Any, name: str, resource: Any, seen: bool
) -> None:
    """It counts against no startTimeout, and whoever sees it end knows why."""
    works = make({**WORKLOADS[name], "metadata": {"labels": {QUEUE_LABEL: "gpus"}}})
    hold(works, resource, True)
    facts = works.until(lambda f: f.queued)
    works.cluster.clock.time += 600
    assert facts.phase == "pending" and works.until(lambda f: f.queued) and not works.place.stalled()
    assert next(f.queued for f in look(works.take_over_with(order())) if f.key == KEY)
    hold(works, resource, False)
    pods = [p["metadata"]["name"] for p in works.cluster.until(works.kubelet.pods)]
    works.run(*pods)
    assert not works.until(lambda f: f.phase == "running").queued
    hold(works, resource, True)
    for pod in works.kubelet.pods():
        works.take(pod, seen)
    end = (
        works.ended().exit if seen else works.cluster.until(lambda: works.facts() is None and works.place.gone(KEY))
    )
    assert end is not None and end.reason == "StoppedByQueue"
    works.cluster.until(lambda: (works.cluster.advance(31), not works.cluster.server.objects.of(resource))[1])


@pytest.mark.parametrize("name", ["a JobSet", "a PyTorchJob"])
def test_a_leader_that_someone_deletes_before_it_starts_says_nothing_of_the_template(make: Any, name: str) -> None:
    works = make(name)
    works.cluster.until(lambda: works.kubelet.pods())
    leader = next(p for p in works.kubelet.pods() if p["metadata"]["labels"].get(LABEL_PRIMARY))
    works.cluster.workloads.asleep = True
    works.kubelet.lose(leader["metadata"]["name"])
    resource = JOBSETS if name == "a JobSet" else PYTORCH_JOBS
    (made,) = works.cluster.server.objects.of(resource)
    bad = {"conditions": [{"type": "Failed", "status": "True"}]}
    works.cluster.server.change(made, lambda o: o.update(status=bad), resource)
    place = works.take_over()
    place.launch(order())
    facts = next(f for f in look(place) if f.key == KEY)
    assert facts.exit is not None and facts.exit.reason == "Deleted", facts


def test_an_object_that_fails_again_and_again_without_a_pod_ends_the_attempt(make: Any) -> None:
    works = make("a JobSet")
    works.cluster.workloads.asleep = True

    bad = {"conditions": [{"type": "Failed", "status": "True", "message": "no such network"}]}

    def fail() -> Any:
        for made in works.cluster.server.objects.of(JOBSETS):
            works.cluster.server.change(made, lambda o: o.update(status=bad), JOBSETS)
        works.cluster.clock.time += 6
        facts = works.facts()
        return facts if facts and facts.phase == "ended" else None

    facts = works.cluster.until(fail)
    assert facts.exit.reason == "StartError" and "no such network" in facts.exit.message


@pytest.mark.parametrize("name", ["a JobSet", "a PyTorchJob", "a Job"])
def test_what_would_delete_a_log_before_it_is_read_is_left_out(make: Any, name: str) -> None:
    workload = json.loads(json.dumps(WORKLOADS[name]))
    fields = workload["spec"].setdefault("runPolicy", {}) if name == "a PyTorchJob" else workload["spec"]
    fields |= {"ttlSecondsAfterFinished": 0}
    works = make(workload)
    made = [o for r in (JOBS, JOBSETS, PYTORCH_JOBS) for o in works.cluster.server.objects.of(r)]
    assert made and "ttlSecondsAfterFinished" not in json.dumps(made)
    if name != "a Job":
        assert any("ttlSecondsAfterFinished is left out" in note for note in works.spec.warnings)


def test_an_object_that_its_owner_deletes_takes_the_trial_to_a_new_attempt(make: Any) -> None:
    works = training(make)
    works.kubelet.exit(LEADER, 0)
    (job,) = works.cluster.server.objects.of(PYTORCH_JOBS)
    works.cluster.server.writes.remove(PYTORCH_JOBS, job)
    works.cluster.until(lambda: (works.cluster.advance(31), works.facts() is None)[1])
    end = works.place.gone(KEY)
    assert end is not None and end.reason == "Deleted"


def leaderless(make: Any) -> Works:
    """Training whose leader is gone while its workers run on, and no controller looks."""
    works = training(make)
    works.cluster.workloads.asleep = True
    works.kubelet.lose(LEADER)
    return works


def test_pods_whose_leader_is_gone_do_not_run_on_for_nobody(make: Any) -> None:
    works = leaderless(make)
    works.cluster.until(lambda: works.facts() is None)
    assert works.place.gone(KEY) is not None
    works.cluster.until(lambda: (works.cluster.advance(31), not works.kubelet.pods())[1])


def test_what_an_earlier_process_left_running_without_its_leader_is_found_and_ended_once(make: Any) -> None:
    """The trial was told and the process ended before it had deleted the rest: nobody would look for it."""
    works = leaderless(make)
    later = works.take_over()
    works.cluster.until(lambda: (later.observe(), later.headless())[1] == [KEY])
    later.delete(KEY)
    assert not later.headless(), "it is on its way"
    works.cluster.until(lambda: (works.cluster.advance(31), not works.kubelet.pods())[1])


def test_what_has_ended_without_its_leader_goes_too_unless_it_is_to_stay(make: Any) -> None:
    """It would else be looked at by each process anew, for good."""
    works = leaderless(make)
    for name in (WORKER, OTHER):
        works.kubelet.exit(name, 0)
    index, owner = works.process.context.pods, works.place._owner.uid
    later = works.take_over()
    works.cluster.until(lambda: (later.observe(), later.headless())[1] == [KEY])
    assert not settled(index.of(owner)) and settled(index.of(owner), retain=True)
    works.spec = replace(works.spec, template=replace(works.spec.template, retain=True))
    keeping = works.take_over()
    keeping.observe()
    assert not keeping.headless()


def fail(works: Works) -> None:
    """The controller of PyTorchJobs says so, and then looks away."""
    works.cluster.workloads.asleep = True
    (made,) = works.cluster.server.objects.of(PYTORCH_JOBS)
    said = {"conditions": [{"type": "Failed", "status": "True"}]}
    works.cluster.server.change(made, lambda o: o.update(status=said), PYTORCH_JOBS)


def test_a_worker_that_is_gone_without_a_trace_was_deleted(make: Any) -> None:
    """Who saw its deletion is gone, and the workload says no more than that it failed."""
    works = training(make)
    works.kubelet.lose(OTHER)
    fail(works)
    works.place = works.take_over()
    told_to_end(works, LEADER)
    works.kubelet.exit(LEADER, 143)
    end = works.ended().exit
    assert end is not None and end.reason == "Deleted" and "is gone" in end.message


def test_why_an_attempt_was_told_to_end_outlives_who_told_it_and_what_explained_it(make: Any) -> None:
    """The next process would else take it for one that ran out of time."""
    works = training(make)
    works.kubelet.exit(WORKER, 3, message="ValueError: no such file")
    told_to_end(works, LEADER)
    works.cluster.workloads.asleep = True
    for name in (WORKER, OTHER):
        works.kubelet.lose(name)
    works.place, index = works.take_over(), works.process.context.pods
    works.cluster.until(lambda: len(index.of(works.ref.owner.uid)) == 1)
    works.kubelet.exit(LEADER, 143)
    end = works.ended().exit
    assert end is not None and end.exit_code == 3 and "ValueError" in end.message


def test_what_explains_a_failure_is_looked_for_before_it_is_deleted(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch may be behind of the workload's own word."""
    update, late = PodIndex.update, threading.Event()
    monkeypatch.setattr(PodIndex, "update", lambda *change: None if late.is_set() else update(*change))
    works = make("a PyTorchJob")
    works.pods(3)
    works.cluster.until(lambda: (works.facts(), len(works.process.context.pods.of(works.ref.owner.uid)) == 3)[1])
    late.set()
    works.kubelet.reject(LEADER, "UnexpectedAdmissionError", "no such device")
    fail(works)
    jobs = works.cluster.server.objects.of
    works.cluster.until(lambda: (works.cluster.advance(1), works.facts(), not jobs(PYTORCH_JOBS))[2])
    # It begins anew with a list, in which there is no such Pod any more.
    late.clear()
    works.kubelet.lose(LEADER)
    end = works.ended().exit
    assert end is not None and end.reason == "UnexpectedAdmissionError"


def test_a_failure_that_is_kept_to_be_looked_at_is_nobodys_remains(make: Any) -> None:
    works = make("a PyTorchJob")
    works.pods(3)
    works.run(*TRAINING)
    works.kubelet.exit(LEADER, 1)
    works.ended()
    works.place.delete(KEY)
    works.cluster.until(lambda: LABEL_TOLD in works.kubelet.pod(LEADER)["metadata"]["labels"])
    later = works.take_over()
    later.observe()
    assert not later.headless()


def test_a_failed_worker_that_is_kept_beside_its_leader_is_nothing_to_be_done(make: Any) -> None:
    """What has ended would else be opened anew by each process, for good."""
    works = make("a PyTorchJob")
    works.pods(3)
    works.run(*TRAINING)
    index, owner = works.process.context.pods, works.place._owner.uid
    works.kubelet.exit(OTHER, 1)
    works.kubelet.exit(LEADER, 1)
    works.ended()
    assert not settled(index.of(owner))
    works.place.delete(KEY)
    works.cluster.until(lambda: (works.cluster.advance(31), settled(index.of(owner)))[1])
    assert not all(pod.told for pod in index.of(owner))


def test_a_kind_without_a_crd_is_stalled_with_that_word(make: Any) -> None:
    spec = {"tfReplicaSpecs": {"Worker": WORKLOADS["a PyTorchJob"]["spec"]["pytorchReplicaSpecs"]["Worker"]}}
    works = make({"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "spec": spec})
    assert "no CRD for kind TFJob (kubeflow.org/v1) is installed" in works.place.stalled() or works.facts()
    assert "no CRD for kind TFJob (kubeflow.org/v1) is installed" in works.place.stalled()
    works.cluster.clock.time += 3600
    assert (facts := works.facts()) and facts.phase == "pending"


@pytest.mark.parametrize("kind", ["Gadget", "Workflow"])
def test_the_collection_of_another_kind_is_asked_for(make: Any, kind: str) -> None:
    works = make({**WORKLOADS["a kind of its own"], "kind": kind}, **FLOW)
    if kind == "Workflow":
        assert len(works.cluster.server.objects.of(WORKFLOWS)) == 1
    else:
        works.facts()
        assert "no CRD for kind Gadget (example.org/v1) is installed" in works.place.stalled()


def test_rights_that_are_missing_are_said_with_the_charts_value(tmp_path: Path) -> None:
    works = Works(tmp_path, WORKLOADS["a JobSet"])

    def forbid(method: str, path: str) -> None:
        if "jobsets" in path and method == "POST":
            text = 'jobsets.jobset.x-k8s.io is forbidden: User "op" cannot create resource "jobsets" in API group'
            raise Failure(403, "Forbidden", text)

    works.process.before = forbid
    works.place.launch(order())
    works.facts()
    assert "workloads={jobsets}" in works.place.stalled()
    works.process.close()


def test_a_controller_that_does_not_run_is_said(make: Any) -> None:
    works = make("a JobSet")
    works.cluster.workloads.asleep = True
    for _ in range(4):
        works.cluster.clock.time += 61
        facts = works.facts()
    assert facts is not None and facts.phase == "pending"
    assert "its controller does not run" in works.place.stalled()


def test_who_takes_over_adopts_by_uid_and_parameters(make: Any) -> None:
    works = make("a PyTorchJob")
    works.pods(3)
    works.run(*TRAINING)
    later = works.take_over()
    later.launch(order())
    works.cluster.until(lambda: [f for f in look(later) if f.phase == "running"])
    stranger = works.take_over()
    stranger.launch(order("another"))
    assert "is there and is not ours" in stranger.stalled()


def test_a_worker_that_does_not_start_is_said_and_waited_for_only_so_long(make: Any) -> None:
    works = make("a PyTorchJob")
    works.pods(3)
    works.run(LEADER, WORKER)
    works.kubelet.schedule(OTHER)
    works.kubelet.hold_up(OTHER, "ImagePullBackOff", "no such image")
    works.until(lambda f: f.waiting and OTHER in f.waiting)
    assert "no such image" in works.place.stalled()
    works.cluster.clock.time += 61
    # The others are ended first: the next attempt would run beside them.
    assert (facts := works.facts()) and facts.phase == "running"
    facts = works.ended()
    assert facts.exit and facts.exit.reason == "StartError" and "no such image" in facts.exit.message
    assert {p["status"]["phase"] for n, p in works.pods(3).items() if n == LEADER} <= {"Failed", "Succeeded"}


REFUSED = 'Error creating: pods "worker-1" is forbidden: violates PodSecurity "restricted:latest"'


def warn(works: Works) -> None:
    """The controller says why it makes no Pod, and what it always says."""
    (job,) = works.cluster.server.objects.of(PYTORCH_JOBS)
    said = (("FailedCreatePod", REFUSED), ("SetPodTemplateRestartPolicy", "is overwritten"))
    for at, (why, text) in enumerate(said):
        event = {
            "metadata": {"name": f"e{at}"}, "involvedObject": {"uid": job["metadata"]["uid"]}, "type": "Warning",
            "reason": why, "message": text, "lastTimestamp": f"2026-11-24T10:00:0{at}Z",
        }  # fmt: skip
        works.cluster.api().create(collection("events", NAMESPACE), event)


def test_a_worker_that_its_controller_may_not_make_is_said(make: Any) -> None:
    """Its leader holds a GPU and waits for it."""
    works = make("a PyTorchJob")
    works.pods(3)
    works.cluster.workloads.asleep = True
    works.kubelet.lose(OTHER)
    works.run(LEADER, WORKER)
    warn(works)
    works.until(lambda f: f.phase == "running")
    facts = works.until(lambda f: f.waiting)
    assert facts.phase == "running" and "violates PodSecurity" in works.place.stalled()
    works.cluster.workloads.asleep = False
    works.pods(3)
    works.until(lambda f: not f.waiting)


def test_no_pod_that_its_controller_may_make_is_said(make: Any) -> None:
    """What it puts into the Pod may be refused where the template is not."""
    works = make("a PyTorchJob")
    works.cluster.workloads.asleep = True
    works.cluster.clock.time += 61
    works.facts()
    warn(works)
    facts = works.until(lambda f: f.waiting)
    assert facts.phase == "pending" and "violates PodSecurity" in works.place.stalled()


def test_every_pod_is_labelled_as_the_attempts_and_only_one_as_primary(make: Any) -> None:
    works = make("a JobSet")
    pods = works.pods(3).values()
    marks = [pod["metadata"]["labels"].get("kubetuna.dev/primary") for pod in pods]
    assert sorted(map(str, marks)) == ["None", "None", "true"]
    found = works.cluster.api().get(collection("pods", NAMESPACE), labelSelector="kubetuna.dev/trial=0")["items"]
    assert len(found) == 3


def test_the_log_that_a_person_asks_for_is_the_primary_pods(make: Any) -> None:
    works = make("a PyTorchJob")
    works.pods(3)
    works.run(*reversed(TRAINING))
    for name in TRAINING:
        works.kubelet.print(name, f"I am {name}")
    seen = ClusterBackend.__new__(ClusterBackend)
    seen._api = works.cluster.api()
    out = io.BytesIO()
    seen.copy_log(NAMESPACE, "small", 0, None, False, out)
    assert out.getvalue().decode().strip() == f"I am {LEADER}"


def test_while_the_server_is_away_one_question_is_enough(make: Any) -> None:
    """Whoever looks waits for each of them."""
    works = make("a PyTorchJob")
    works.place.launch(order(trial=1))
    works.pods(6)
    works.cluster.until(lambda: len([f for f in look(works.place) if f.uid]) == 2)
    works.cluster.clock.time += 60
    works.process.cut_off, asked = True, list[str]()
    find = works.place._makers.object_of
    works.place._conclusions._find = lambda key: (asked.append(str(key)), find(key))[1]
    works.place.observe()
    assert len(asked) == 1
    works.process.cut_off = False


def train_job(works: Works) -> Object:
    (made,) = works.cluster.server.objects.of(TRAIN_JOBS)
    return made


def test_what_is_kept_of_a_trial_in_a_runtime_that_tries_again_is_suspended(make: Any) -> None:
    """Its own retries may not be switched off, and would hold what the next trial waits for."""
    works = make("a TrainJob")
    pods = works.pods(2)
    works.run(*pods)
    works.until(lambda f: f.phase == "running")
    first = next(pod for pod in works.kubelet.pods() if pod["metadata"]["labels"][INDEX] == "0")

    def again(pod: Object) -> None:
        crashed = {"exitCode": 3, "finishedAt": pod["metadata"]["creationTimestamp"]}
        pod["status"]["containerStatuses"][0]["lastState"] = {"terminated": crashed}

    works.cluster.server.change(first, again, PODS)
    facts = works.ended()
    assert facts.exit is not None and facts.exit.exit_code == 3
    works.place.delete(KEY)
    works.cluster.until(lambda: train_job(works)["spec"].get("suspend"))


def test_what_is_kept_of_a_trial_that_came_to_its_end_is_left_alone(make: Any) -> None:
    works = make("a TrainJob", retain=True)
    pods = works.pods(2)
    works.run(*pods)
    works.until(lambda f: f.phase == "running")
    for name in pods:
        works.kubelet.exit(name, 0)
    works.ended()
    works.place.delete(KEY)
    works.cluster.until(lambda: all(LABEL_TOLD in p["metadata"]["labels"] for p in works.kubelet.pods()[:1]))
    assert "suspend" not in train_job(works)["spec"] and len(works.kubelet.pods()) == 2
