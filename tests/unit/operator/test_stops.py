"""What the place does where the API server fails a stop: nothing counts as done before it was seen done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptRequest
from kubetuna_operator import ANNOTATION_TIMEOUT
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.kube.api_client import Refused, Unreachable
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.pods.status import seconds, view
from kubetuna_operator.workloads.executor import RETRY_SECONDS, PodExecutor
from tests.fakes import FakeClock
from tests.spec_table import JOB, TRIAL, document
from tests.unit.operator.pods import RUNNING, STARTED, pod

KEY = AttemptKey(3, 1)
PATCH = "merge /api/v1/namespaces/lab/pods/small-3-0-1"
BUSY = Unreachable("429 Too Many Requests")


def order() -> AttemptRequest:
    return AttemptRequest(KEY, "small-3-0-1", {"x": 0.5}, "hash", {})


class ScriptedApi:
    """Notes every write and raises what is next in ``faults``, if anything."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.faults: list[Exception] = []

    def _take(self, verb: str, path: str) -> None:
        self.sent.append(f"{verb} {path}")
        if self.faults:
            raise self.faults.pop(0)

    def within(self, seconds: float) -> ScriptedApi:
        return self

    def create(self, path: str, body: Mapping[str, Any], **query: object) -> Mapping[str, Any]:
        self._take("create", path)
        return body

    def merge(self, path: str, body: Mapping[str, Any], low_priority: bool = False) -> None:
        self._take("merge", path)

    def delete(self, path: str, uid: str | None = None, low_priority: bool = False, **body: object) -> bool:
        self._take("delete", path)
        return True

    def find(self, path: str) -> None:
        """There is nothing yet."""

    def has(self, path: str, uid: str) -> bool:
        """It is there still."""
        return True

    def get(self, path: str, **query: object) -> Mapping[str, Any]:
        self._take("get", path)
        return {"items": []}


class Cluster:
    """A place over a scripted API server, and the one Pod that its watch shows."""

    def __init__(self, edits: Mapping[str, Any] | None = None) -> None:
        self.start = seconds(STARTED) or 0.0
        self.api, self.clock, self.index = ScriptedApi(), FakeClock(self.start), PodIndex()
        owner = Owner("lab", "small", "owner")
        context = OperatorContext(
            cast(Any, self.api), self.index, cast(Any, None), "me", DeferredWrites(), cast(Any, None),
            cast(Any, None), 60.0, self.clock,
        )  # fmt: skip
        spec = parse_experiment(document(dict(edits or {})))
        self.place = PodExecutor(context, spec, ExperimentRef(owner, 1))

    def show(self, **spec: Any) -> None:
        """The watch shows the Pod so."""
        found = pod("Running", RUNNING, metadata={"annotations": spec.pop("annotations", {})})
        found["spec"] |= spec
        self.index.update(("lab", "small-3-0-1"), None, view(found))

    def facts(self) -> AttemptFacts:
        (found,) = self.place.observe()
        return found


@pytest.mark.parametrize("fault", [BUSY, Refused(409, "Conflict", "the object has been modified")])
def test_a_stop_that_the_api_server_refused_for_now_is_sent_when_it_is_asked_for_again(fault: Exception) -> None:
    """And nothing is deleted meanwhile: with the Pod its log would go."""
    cluster = Cluster()
    cluster.show()
    cluster.api.faults = [fault]
    for _ in range(2):
        cluster.place.stop(KEY, "Stopped")
        assert not cluster.facts().stopping
    assert cluster.api.sent == [PATCH, PATCH]


def test_a_stop_is_seen_on_the_pod_alone_and_not_sent_once_it_is() -> None:
    cluster = Cluster()
    cluster.show()
    cluster.place.stop(KEY, "Stopped")
    assert not cluster.facts().stopping
    cluster.show(activeDeadlineSeconds=1)
    assert cluster.facts().stopping
    cluster.place.stop(KEY, "Stopped")
    assert cluster.api.sent == [PATCH]


@pytest.mark.parametrize("fault", [BUSY, Refused(403, "Forbidden", "no")])
def test_a_deletion_in_place_of_a_refused_stop_may_fail_too(fault: Exception) -> None:
    cluster = Cluster()
    cluster.show()
    cluster.api.faults = [Refused(422, "Invalid", "no"), fault]
    cluster.place.stop(KEY, "Stopped")
    cluster.place.stop(KEY, "Stopped")
    assert cluster.api.sent == [PATCH, PATCH.replace("merge", "delete"), PATCH]


def test_a_pod_past_its_time_is_told_so_again_and_not_at_every_look() -> None:
    cluster = Cluster()
    cluster.show(annotations={ANNOTATION_TIMEOUT: "60"})
    cluster.api.faults = [BUSY] * 2
    for look in range(100):
        cluster.clock.time = (seconds(STARTED) or 0.0) + 59 + look / 10
        cluster.place.observe()
    assert cluster.api.sent == [PATCH] * (1 + int(8.9 / RETRY_SECONDS))


def test_a_job_without_a_pod_is_awaited_until_its_deletion_was_taken() -> None:
    cluster = Cluster({TRIAL: JOB})
    cluster.place.launch(order())
    # The look for a Pod that the watch has not told of, and the deletion.
    cluster.api.faults = [BUSY, BUSY]
    cluster.api.sent.clear()
    for _ in range(3):
        cluster.place.stop(KEY, "Stopped")
        assert cluster.facts().phase == "pending"
    cluster.clock.time += 5.0
    cluster.place.stop(KEY, "Stopped")
    assert cluster.place.observe() == ()
    sent = [request for request in cluster.api.sent if not request.startswith("get ")]
    assert sent == ["delete /apis/batch/v1/namespaces/lab/jobs/small-3-0-1"] * 2
