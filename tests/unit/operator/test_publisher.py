"""What the status says of a study: what ended trials add up to, and the conditions that only a cluster has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubetuna.errors import StoreUnavailable
from kubetuna.trials.attempts import AttemptRequest, ExitFacts
from kubetuna_operator.context import ExperimentRef
from kubetuna_operator.experiment.status_renderer import Publisher, unreachable_store
from kubetuna_operator.experiment.status_writer import StatusWriter
from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.operating import Process
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World, curve


def odd_ones_fail(launch: AttemptRequest) -> Run:
    """Every second trial ends with an error."""
    return Run((), ExitFacts(exit_code=1)) if launch.key.trial % 2 else curve(launch)


class Desk:
    """A study that a fake place fills, and the publisher of its status."""

    def __init__(self, folder: Path) -> None:
        text = experiment("", maxTrialCount=4, parallelTrialCount=1, maxFailedTrialCount=4)
        self.study_world, self.cluster, self.stalled = World(text, odd_ones_fail), Cluster(), ""
        self.process = Process(self.cluster, f"sqlite:///{folder}/study.db")
        self.ref = ExperimentRef(self.cluster.make_owner(json.loads(text)), 1)
        self.publisher = self.another(self.ref)

    def another(self, ref: ExperimentRef) -> Publisher:
        context, world = self.process.context, self.study_world
        writer = StatusWriter(context, ref.owner, {})
        return Publisher(context, writer, world.spec, ref, world.study, lambda: self.stalled)

    def shown(self) -> dict[str, Any]:
        found = self.cluster.api().get(f"{collection('experiments', NAMESPACE)}/small").get("status")
        return found or {}

    def events(self) -> list[str]:
        return [e["reason"] for e in self.cluster.api().get(collection("events", NAMESPACE))["items"]]

    def conditions(self, publisher: Publisher) -> dict[str, tuple[str, str]]:
        """The conditions of the study as it stands."""
        found = publisher.status(self.study_world.engine.observe(), self.study_world.ending)["conditions"]
        return {c["type"]: (c["status"], c["reason"]) for c in found}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.process.close()
    made.study_world.close()


def test_trials_are_counted_as_they_end_and_told_as_events(desk: Desk) -> None:
    end = desk.study_world.finish()
    desk.publisher.publish(desk.study_world.engine.observe(), end, force=True)
    shown = desk.shown()
    assert (shown["trials"], shown["trialsSucceeded"], shown["trialsFailed"]) == (4, 2, 2)
    assert (shown["progress"], shown["state"], shown["observedGeneration"]) == ("4/4", "Succeeded", 1)
    assert shown["currentOptimalTrial"]["number"] in (0, 2) and shown["spent"]["text"].endswith(" slot-hours")
    desk.cluster.until(lambda: sorted(desk.events()) == ["NewBest", "Succeeded", "TrialFailed", "TrialFailed"])


def test_who_takes_over_counts_what_ended_before_but_does_not_tell_it_again(desk: Desk) -> None:
    end = desk.study_world.finish()
    desk.another(desk.ref).publish(desk.study_world.engine.observe(), end, force=True)
    assert desk.shown()["trials"] == 4
    desk.cluster.until(lambda: desk.events() == ["Succeeded"])


def test_what_only_a_cluster_can_lack_is_a_condition(desk: Desk) -> None:
    assert desk.conditions(desk.publisher)["Stalled"] == ("False", "NothingWaits")
    desk.stalled, desk.publisher.problem = "no node has a GPU", "spec.goal: no"
    desk.process.context.store.failed(StoreUnavailable("connection refused"))
    conditions = desk.conditions(desk.publisher)
    assert conditions["Stalled"] == ("True", "PodsWaiting")
    assert conditions["StoreReady"] == ("False", "StoreUnavailable")
    assert conditions["Accepted"] == ("False", "SpecInvalid")


def test_an_experiment_that_had_ended_and_goes_on_says_so(desk: Desk) -> None:
    assert desk.conditions(desk.publisher)["Restarting"][0] == "False"
    again = desk.another(replace(desk.ref, ended_before=True))
    assert desk.conditions(again)["Restarting"][0] == "True"
    desk.study_world.ending = desk.study_world.finish()
    assert desk.conditions(again)["Restarting"][0] == "False"


def test_what_only_time_changed_is_not_rendered_again_but_what_was_said_meanwhile_is_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[object] = []
    render = Publisher.status
    monkeypatch.setattr(Publisher, "status", lambda *said: rendered.append(said) or render(*said))
    snapshot, writer = desk.study_world.engine.observe(), desk.publisher._writer
    for _ in range(3):
        desk.cluster.advance(10.0)
        desk.publisher.publish(snapshot, None)
    assert len(rendered) == 1
    writer.amend(unreachable_store(StoreUnavailable("gone", "the database is gone"), 1, desk.cluster.clock.now()))
    desk.cluster.advance(10.0)
    desk.publisher.publish(snapshot, None)
    desk.stalled = "no node"
    desk.cluster.advance(10.0)
    desk.publisher.publish(snapshot, None)
    assert len(rendered) == 3
    assert {c["type"]: c["status"] for c in writer.shown["conditions"]}["StoreReady"] == "True"
