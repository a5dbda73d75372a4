"""Jobs between an order and its Pod: what is awaited, what is asked, what is taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubetuna.experiment.kinds import JOB
from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptFacts
from kubetuna_operator.context import ExperimentRef
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.pods.withdrawals import LOOKS, Withdrawals
from kubetuna_operator.workloads import removal
from kubetuna_operator.workloads.executor import PodExecutor
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import forbidden
from tests.apiserver.operating import Process
from tests.apiserver.resources import JOBS, PODS, Object, Resource
from tests.fakes import look
from tests.local.runs import experiment
from tests.unit.operator.test_pod_executor import KEY, NAME, order


class Works:
    """A place that makes Jobs. ``closed``: no Pod is admitted."""

    def __init__(self, folder: Path) -> None:
        document = json.loads(experiment("", startTimeout="60s"))
        template = document["spec"]["trialTemplate"]
        pod = template["trialSpec"]["spec"]
        template["trialSpec"] = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}}
        self.cluster, self.closed = Cluster(), False
        self.cluster.server.writes.admissions.append(self._admit)
        ref = ExperimentRef(self.cluster.make_owner(document), 1)
        self.process = Process(self.cluster, f"sqlite:///{folder}/study.db")
        self.process.watch_pods()
        self._spec, self._about = parse_experiment(document), ref
        self.place = self.take_over()

    def take_over(self) -> PodExecutor:
        """A place that remembers nothing."""
        return PodExecutor(self.process.context, self._spec, self._about)

    def _admit(self, resource: Resource, obj: Object) -> None:
        if resource == PODS and self.closed:
            raise forbidden(PODS, obj["metadata"]["name"], 'violates PodSecurity "restricted"')

    def jobs(self) -> list[Object]:
        return self.cluster.server.objects.of(JOBS)

    def facts(self) -> AttemptFacts | None:
        return next((f for f in look(self.place) if f.key == KEY), None)

    def until(self, check: Any) -> AttemptFacts:
        found: AttemptFacts = self.cluster.until(lambda: (f := self.facts()) and check(f) and f)
        return found

    def later(self, seconds: float) -> AttemptFacts:
        self.cluster.clock.time += seconds
        facts = self.facts()
        assert facts is not None
        return facts


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path)
    yield made
    made.process.close()


def test_a_job_is_pending_until_its_pod_is_there_and_then_the_pod_counts(works: Works) -> None:
    works.place.launch(order())
    works.place.launch(order())
    facts = works.facts()
    assert facts is not None and (facts.phase, facts.uid) == ("pending", None)
    facts = works.until(lambda f: f.uid)
    (pod,) = works.cluster.kubelet.pods()
    assert facts.uid == pod["metadata"]["uid"] and len(works.jobs()) == 1
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Job"


def test_why_a_job_makes_no_pod_is_asked_of_the_server(works: Works) -> None:
    works.closed = True
    works.place.launch(order())
    assert works.later(4).waiting is None
    facts = works.later(2)
    assert facts.phase == "pending" and "PodSecurity" in str(facts.waiting)
    assert "PodSecurity" in works.place.stalled() and not works.cluster.kubelet.pods()
    works.later(61)
    facts = works.later(6)
    assert facts.exit is not None and facts.exit.reason == "StartError"


def test_a_job_that_ended_without_a_pod_is_made_again_by_who_takes_over(works: Works) -> None:
    works.place.launch(order())
    (job,) = works.jobs()
    failed = {"conditions": [{"type": "Failed", "status": "True"}]}
    works.cluster.server.change(job, lambda j: j.update(status=failed), JOBS)
    works.place = works.take_over()
    works.place.launch(order())
    assert "made again" in str(works.place.stalled())
    works.cluster.until(lambda: not works.jobs())
    works.later(6)
    (made,) = works.jobs()
    assert made["metadata"]["uid"] != job["metadata"]["uid"]


@pytest.mark.parametrize("end", ["failed", "deleted"])
def test_a_job_that_ends_without_a_pod_is_made_again_by_who_awaits_it(works: Works, end: str) -> None:
    """Its Pod will never come: who only waits for that waits for ever."""
    works.closed = True
    works.place.launch(order())
    (job,) = works.jobs()
    if end == "failed":
        failed = {"conditions": [{"type": "Failed", "status": "True"}]}
        works.cluster.server.change(job, lambda j: j.update(status=failed), JOBS)
    else:
        works.cluster.api().delete(f"{JOB.collection(NAMESPACE)}/{NAME}")
    facts = works.later(6)
    assert facts.phase == "pending" and "made again" in str(facts.waiting)
    works.closed = False
    works.later(6)
    (made,) = works.jobs()
    assert made["metadata"]["uid"] != job["metadata"]["uid"]
    assert works.until(lambda f: f.uid).phase == "pending"


@pytest.mark.parametrize("gone", [False, True])
def test_a_pod_that_the_watch_has_not_brought_yet_counts_when_its_job_ends(works: Works, gone: bool) -> None:
    works.process.close()
    works.place = works.take_over()
    works.place.launch(order())
    works.cluster.step()
    (pod,) = works.cluster.kubelet.pods()
    works.cluster.kubelet.schedule(pod["metadata"]["name"])
    works.cluster.kubelet.start(pod["metadata"]["name"])
    works.cluster.kubelet.exit(pod["metadata"]["name"], 0)
    works.cluster.step()
    (job,) = works.jobs()
    assert job["status"]["conditions"][0]["type"] == "Complete"
    if gone:
        works.cluster.server.writes.remove(JOBS, job)
    for _ in range(3):
        facts = works.later(6)
    assert (facts.phase, facts.uid) == ("ended", pod["metadata"]["uid"])
    assert [p["metadata"]["uid"] for p in works.cluster.kubelet.pods()] == [pod["metadata"]["uid"]]
    assert works.jobs() == ([] if gone else [job])


def test_a_job_that_is_stopped_is_not_made_again_while_its_deletion_is_refused(works: Works) -> None:
    works.closed = True
    works.place.launch(order())
    (job,) = works.jobs()
    works.cluster.server.change(
        job, lambda j: j.update(status={"conditions": [{"type": "Failed", "status": "True"}]}), JOBS
    )
    works.process.cut_off = True
    works.place.stop(KEY, "Stopped")
    works.process.cut_off = False
    works.later(6)
    works.place.stop(KEY, "Stopped")
    assert not works.jobs() and works.facts() is None


def test_a_job_that_is_stopped_before_its_pod_came_is_deleted(works: Works) -> None:
    works.place.launch(order())
    works.place.stop(KEY, "Stopped")
    assert not works.jobs() and works.facts() is None


def test_a_job_of_an_earlier_process_whose_pod_never_came_does_not_start_after_the_end(works: Works) -> None:
    works.closed = True
    works.place.launch(order())
    later = works.take_over()
    assert look(later) == ()
    later.delete(KEY)
    works.cluster.until(lambda: not works.jobs())


def test_a_launch_is_absent_once_the_server_knows_of_nothing_that_would_start_it(works: Works) -> None:
    works.closed = True
    works.place.launch(order())
    later = works.take_over()
    assert later.observe() == () and not later.absent(KEY)
    works.process.cut_off = True
    works.cluster.server.writes.remove(JOBS, works.jobs()[0])
    assert not later.absent(KEY), "nobody can say"
    works.process.cut_off = False
    works.cluster.clock.time += 6
    assert later.absent(KEY)


def test_what_is_ordered_again_is_not_taken_back_any_more(works: Works) -> None:
    """A trial that was suspended before its Pod came goes on with the same attempt, in another run of its own."""
    works.closed = True
    waiting = DeferredWrites(works.cluster.clock.now)
    works.process.context = replace(works.process.context, deferred=waiting)
    works.take_over().delete(KEY)
    works.take_over().launch(order())
    works.cluster.clock.time += LOOKS[-1]
    assert waiting.step() and waiting.step() and not waiting.step()
    assert len(works.jobs()) == 1


def test_what_is_taken_back_is_looked_for_twice(works: Works) -> None:
    """A request without an answer may make it after the first look."""
    works.closed = True
    waiting = DeferredWrites(works.cluster.clock.now)
    works.process.context = replace(works.process.context, deferred=waiting)
    later = works.take_over()
    later.delete(KEY)
    assert waiting.step() and not waiting.step()
    works.place.launch(order())
    works.cluster.clock.time += LOOKS[-1]
    assert len(works.jobs()) == 1 and waiting.step()
    assert not works.jobs()
    assert not later._launches.is_withdrawn(KEY), "nothing of it is kept"


def test_what_is_ordered_again_while_it_is_looked_for_stays() -> None:
    """What was found may be the new order's already."""
    waiting, found = DeferredWrites(lambda: 0.0), []
    withdrawals = Withdrawals(waiting)

    def remove(is_wanted: Callable[[], bool]) -> None:
        found.append(is_wanted())
        withdrawals.end("uid", KEY)
        found.append(is_wanted())

    withdrawals.add("uid", KEY, remove)
    assert waiting.step()
    assert found == [True, False]


def test_a_launch_whose_answer_was_lost_and_that_is_taken_back_is_looked_for(works: Works) -> None:
    works.closed = True
    works.process.lost = 1
    works.place.launch(order())
    assert works.jobs()
    works.place.stop(KEY, "Stopped")
    works.cluster.until(lambda: not works.jobs())


def test_the_pod_is_stopped_and_not_the_job_whose_deadline_would_delete_the_log(works: Works) -> None:
    works.place.launch(order())
    works.cluster.step()
    (pod,) = works.cluster.kubelet.pods()
    name = pod["metadata"]["name"]
    works.cluster.kubelet.schedule(name)
    works.cluster.kubelet.start(name)
    works.until(lambda f: f.phase == "running")
    works.place.stop(KEY, "Pruned")
    works.cluster.advance(1)
    assert "activeDeadlineSeconds" not in works.jobs()[0]["spec"]
    facts = works.until(lambda f: f.phase == "ended")
    assert facts.exit is not None and facts.exit.reason == "DeadlineExceeded"
    works.place.delete(KEY)
    works.cluster.until(lambda: not works.jobs() and not works.cluster.kubelet.pods())


def test_a_pod_that_its_job_left_behind_is_deleted_too(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the deletion of its Job was taken says nothing of the Pod, which would run for ever."""
    monkeypatch.setattr(removal, "UNSEEN_SECONDS", 0.01)
    monkeypatch.setattr(works.cluster.server.deletion, "collect", lambda: False)
    works.place.launch(order())
    works.until(lambda f: f.uid)
    works.cluster.server.writes.remove(JOBS, works.jobs()[0])
    works.place.delete(KEY)
    works.cluster.until(lambda: not works.cluster.kubelet.pods())


def test_a_job_of_that_name_that_is_not_ours_is_not_taken_back(works: Works) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "other"}]}}}
    works.cluster.api().create(JOB.collection(NAMESPACE), {"metadata": {"name": NAME}, "spec": spec})
    works.place.delete(KEY)
    asked = ("GET", f"{JOB.collection(NAMESPACE)}/{NAME}")
    works.cluster.until(lambda: asked in works.process.asked)
    assert works.jobs()


def test_a_strangers_job_is_not_adopted(works: Works) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "other"}]}}}
    made = works.cluster.api().create(JOB.collection(NAMESPACE), {"metadata": {"name": NAME}, "spec": spec})
    works.place.launch(order())
    facts = works.facts()
    assert facts is not None and "is not ours" in str(facts.waiting)
    works.place.delete(KEY)
    assert works.jobs()[0]["metadata"]["uid"] == made["metadata"]["uid"]
