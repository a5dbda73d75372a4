"""Events that people read: counted up where they come again, and never so many that they are a burden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubetuna_operator.kube.api_client import collection
from kubetuna_operator.kube.events import AT_ONCE, SECONDS_EACH, Events
from kubetuna_operator.kube.objects import Owner
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import forbidden
from tests.apiserver.operating import Process
from tests.apiserver.resources import EVENTS, Object, Resource
from tests.local.runs import experiment


class RunResult:
    """An Experiment of which something is told, by a clock of the test's."""

    def __init__(self, folder: Path) -> None:
        self.cluster, self.seconds = Cluster(), 0.0
        self.process = Process(self.cluster, f"sqlite:///{folder}/study.db")
        self.owner: Owner = self.cluster.make_owner(json.loads(experiment("")))
        self.events = Events(self.process.context.api, self.process.context.deferred, lambda: self.seconds)

    def tell(self, message: str) -> None:
        self.seconds += 0.001
        self.events.emit(self.owner, "Stalled", message, warning=True)

    def found(self) -> dict[str, Any]:
        return {e["message"]: e for e in self.cluster.api().get(collection("events", NAMESPACE))["items"]}


@pytest.fixture
def told(tmp_path: Path) -> Iterator[RunResult]:
    made = RunResult(tmp_path)
    yield made
    made.process.close()


def test_an_event_names_its_experiment_and_is_counted_up_where_it_comes_again(told: RunResult) -> None:
    told.tell("no node")
    told.cluster.until(lambda: "no node" in told.found())
    told.tell("no node")
    told.tell("no image")
    told.cluster.until(lambda: {m: e["count"] for m, e in told.found().items()} == {"no node": 2, "no image": 1})
    event = told.found()["no node"]
    assert (event["type"], event["reason"], event["involvedObject"]["uid"]) == (
        "Warning",
        "Stalled",
        told.owner.uid,
    )


def test_an_experiment_has_a_budget_of_events_that_fills_up_again(told: RunResult) -> None:
    for number in range(60):
        told.tell(f"message {number}")
    told.cluster.until(lambda: len(told.found()) == AT_ONCE)
    told.seconds += SECONDS_EACH
    told.tell("one more")
    told.tell("and another one")
    told.cluster.until(lambda: "one more" in told.found())
    assert len(told.found()) == AT_ONCE + 1


def test_who_may_write_no_events_does_not_try_for_ever(told: RunResult) -> None:
    def refuse(resource: Resource, obj: Object) -> None:
        if resource == EVENTS:
            raise forbidden(resource, obj["metadata"]["name"], "no right to create")

    told.cluster.server.writes.admissions.append(refuse)
    told.tell("no node")
    asked = ("POST", collection("events", NAMESPACE))
    told.cluster.until(lambda: asked in told.process.asked)
    told.cluster.server.writes.admissions.remove(refuse)
    told.tell("no image")
    told.cluster.until(lambda: told.found().keys() == {"no image"})
    assert told.process.asked.count(asked) == 2
