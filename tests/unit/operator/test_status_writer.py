"""Writing a status: only what is new, to just this Experiment, with the times at which conditions turned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubetuna_operator.experiment import status_writer
from kubetuna_operator.experiment.status_writer import StatusWriter, follows
from kubetuna_operator.kube.api_client import collection
from kubetuna_operator.kube.objects import Owner
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure, bad_request, forbidden
from tests.apiserver.objects import timestamp
from tests.apiserver.operating import Process
from tests.apiserver.resources import EXPERIMENTS
from tests.local.runs import experiment

SMALL = f"{collection('experiments', NAMESPACE)}/small"


class Desk:
    """An Experiment and who writes its status."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster()
        self.process = Process(self.cluster, f"sqlite:///{folder}/study.db")
        self.owner = self.cluster.make_owner(json.loads(experiment("")))
        self.writer = self.another({})

    def another(self, known: dict[str, Any], owner: Owner | None = None) -> StatusWriter:
        return StatusWriter(self.process.context, owner or self.owner, known)

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.api().get(SMALL).get("status") or {}
        return found

    def status(self, stalled: str = "False", **more: Any) -> dict[str, Any]:
        """A status with one condition, dated now."""
        condition = {"type": "Stalled", "status": stalled, "reason": "x", "message": f"stalled: {stalled}"}
        dated = {**condition, "lastTransitionTime": timestamp(self.cluster.clock.now())}
        return {"state": "Running", "conditions": [dated], **more}

    def events(self) -> list[str]:
        return [e["reason"] for e in self.cluster.api().get(collection("events", NAMESPACE))["items"]]

    def writes(self) -> int:
        return self.process.asked.count(("PATCH", f"{SMALL}/status"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(status_writer, "SECONDS_BETWEEN", 0.2)
    made = Desk(tmp_path)
    yield made
    made.process.close()


def test_what_says_nothing_new_is_not_written(desk: Desk) -> None:
    desk.writer.write(desk.status(lastReconcileTime="1", spent={"steps": 1, "slotHours": 0.1}))
    desk.writer.write(desk.status(lastReconcileTime="2", spent={"steps": 1, "slotHours": 0.2}))
    assert desk.writes() == 1
    desk.writer.write(desk.status(lastReconcileTime="3", spent={"steps": 2, "slotHours": 0.3}))
    assert desk.writes() == 2 and desk.shown()["spent"] == {"steps": 2, "slotHours": 0.3}


def test_an_offer_of_what_is_shown_or_on_its_way_costs_nothing(desk: Desk) -> None:
    desk.writer.offer(desk.status())
    desk.cluster.clock.time += 100
    desk.writer.offer(desk.status(lastReconcileTime="2"))
    later = desk.process.context.deferred
    later.step()
    assert desk.writes() == 1
    desk.writer.offer(desk.status(lastReconcileTime="3"))
    assert later.due() is None
    desk.writer.offer(desk.status(trials=1))
    assert later.due() is not None
    desk.writer.offer(desk.status())
    later.step()
    assert desk.writes() == 1 and "trials" not in desk.shown()


def test_what_is_no_longer_said_goes(desk: Desk) -> None:
    desk.writer.write(desk.status(failures=["one"], currentOptimalTrial={"number": 1}))
    desk.writer.write(desk.status())
    assert desk.shown().keys() == {"state", "conditions"}


def test_a_condition_keeps_the_time_at_which_it_turned_also_over_a_restart(desk: Desk) -> None:
    desk.writer.write(desk.status("True"))
    (first,) = desk.shown()["conditions"]
    desk.cluster.clock.time += 100
    desk.writer.write(desk.status("True", trials=1))
    desk.another(desk.shown()).write(desk.status("True", trials=2))
    assert desk.shown()["trials"] == 2 and desk.shown()["conditions"] == [first]
    desk.writer.write(desk.status("False"))
    assert desk.shown()["conditions"][0]["lastTransitionTime"] > first["lastTransitionTime"]


def test_a_condition_that_turns_is_an_event_but_not_that_all_is_well_from_the_start(desk: Desk) -> None:
    desk.writer.write(desk.status("False"))
    desk.writer.write(desk.status("True"))
    desk.cluster.until(lambda: desk.events() == ["Stalled"])
    desk.writer.write(desk.status("False"))
    desk.cluster.until(lambda: sorted(desk.events()) == ["NoLongerStalled", "Stalled"])


def test_an_experiment_made_anew_is_not_told_what_became_of_the_old_one(desk: Desk) -> None:
    desk.cluster.api().delete(SMALL)
    desk.writer.write(desk.status())
    again = desk.cluster.make_owner(json.loads(experiment("")))
    desk.writer.write(desk.status(trials=3))
    assert desk.shown() == {}
    desk.another({}, again).write(desk.status())
    assert desk.shown()["state"] == "Running"


def test_what_is_refused_keeps_what_was_found_of_its_study(desk: Desk) -> None:
    desk.writer.write(desk.status("True", trials=3, study={"uid": "a", "epoch": 1}))
    accepted = {**desk.status()["conditions"][0], "type": "Accepted"}
    desk.another(desk.shown()).refuse({"state": "Failed", "message": "spec.x: no", "conditions": [accepted]})
    shown = desk.shown()
    assert (shown["state"], shown["trials"], shown["message"]) == ("Failed", 3, "spec.x: no")
    assert {c["type"]: c["status"] for c in shown["conditions"]} == {"Stalled": "True", "Accepted": "False"}


def ended(**more: Any) -> dict[str, Any]:
    return {"state": "Succeeded", "completionTime": "2026-01-01T00:00:00Z", "observedGeneration": 2, **more}


def test_an_operator_that_was_frozen_writes_over_no_later_ones_status(desk: Desk) -> None:
    frozen, leader = desk.another({}), desk.another({})
    frozen.write(desk.status(trials=3, study={"uid": "a", "epoch": 1}))
    leader.write(desk.status(trials=9, study={"uid": "a", "epoch": 2}))
    for late in (desk.status("True", trials=4, study={"uid": "a", "epoch": 1}), desk.status("True")):
        frozen.write(late)
        frozen.amend({"state": "Created", "conditions": desk.status("True")["conditions"]})
    assert desk.shown()["trials"] == 9 and desk.events() == []
    leader.write(desk.status(trials=10, study={"uid": "a", "epoch": 2}))
    desk.another({}).write(desk.status(trials=1, study={"uid": "b", "epoch": 1}))
    assert desk.shown()["trials"] == 1, "a study that was made anew counts its writers anew"


@pytest.mark.parametrize(
    ("status", "found", "expected"),
    [
        ({"state": "Running", "observedGeneration": 2}, ended(), False),
        ({"state": "Created"}, ended(), False),
        ({"state": "Running", "observedGeneration": 3}, ended(), True),
        (ended(trials=4), ended(trials=3), True),
        (ended(), {"state": "Created", "observedGeneration": 3}, False),
        ({"state": "Running", "observedGeneration": 2}, {"state": "Failed", "observedGeneration": 2}, True),
        ({"state": "Running"}, {}, True),
        ({"state": "Running"}, {"study": "odd", "observedGeneration": "odd", "completionTime": 7}, True),
        ({"state": "Running", "study": None}, {"study": {"uid": ["odd"], "epoch": {}}, "state": ["odd"]}, True),
    ],
)
def test_an_end_stays_until_the_spec_is_another(
    status: dict[str, Any], found: dict[str, Any], expected: bool
) -> None:
    assert follows(status, found) is expected


def test_a_status_that_could_not_be_written_is_written_once_it_can_be(desk: Desk) -> None:
    desk.process.cut_off = True
    desk.writer.write(desk.status(trials=7))
    desk.process.cut_off = False
    assert desk.cluster.until(lambda: desk.shown().get("trials")) == 7


def test_of_many_offers_the_latest_is_written(desk: Desk) -> None:
    desk.writer.write(desk.status())
    assert not desk.writer.due()
    for number in range(20):
        desk.writer.offer(desk.status(trials=number))
    desk.cluster.until(lambda: desk.shown().get("trials") == 19)
    assert desk.writes() == 2


@pytest.mark.parametrize("answer", [forbidden(EXPERIMENTS, "small", "no Role"), bad_request("odd"), None])
def test_a_status_that_is_refused_fails_nothing_and_is_written_once_it_is_let_in(
    desk: Desk, answer: Failure | None
) -> None:
    def deny(method: str, path: str) -> None:
        if path.endswith("/status"):
            raise answer or ConnectionResetError("reset")

    desk.process.before = deny
    desk.writer.write(desk.status(trials=7))
    desk.writer.offer(desk.status(trials=8))
    desk.process.before = lambda *_: None
    assert desk.cluster.until(lambda: desk.shown().get("trials")) == 8


def test_a_condition_is_amended_beside_all_that_was_shown(desk: Desk) -> None:
    """Also by a process that has written nothing yet: an ended experiment never looks unfinished."""
    ended = desk.status(state="Succeeded", trials=7, observedGeneration=2)
    desk.writer.write(ended)
    away = {"type": "StoreReady", "status": "False", "reason": "x", "message": "away", "lastTransitionTime": "now"}
    bare = {"state": "Created", "observedGeneration": 3, "message": "waiting", "conditions": [away]}
    for writer in (desk.another(desk.shown()), desk.writer):
        writer.amend(bare)
        shown = desk.shown()
        assert (shown["state"], shown["trials"], shown["observedGeneration"]) == ("Succeeded", 7, 2)
        assert [c["type"] for c in shown["conditions"]] == ["Stalled", "StoreReady"]


@pytest.mark.parametrize("state", ["Running", "Failed"])
def test_what_another_writer_showed_meanwhile_stays_beside_a_condition(desk: Desk, state: str) -> None:
    """Until this one takes the study up, a former leader may show more of it, in the same epoch."""
    study = {"uid": "a", "epoch": 1}
    desk.writer.write(desk.status(trials=1, study=study))
    late = desk.another(desk.shown())
    desk.writer.write(desk.status("True", trials=2, study=study))
    stalled = desk.shown()["conditions"][0]
    away = {**stalled, "type": "StoreReady", "status": "False", "message": "away"}
    bare = {"state": state, "conditions": [away]}
    late.amend(bare) if state == "Running" else late.refuse(bare)
    shown = desk.shown()
    assert (shown["state"], shown["trials"], shown["conditions"]) == (state, 2, [stalled, away])


def test_what_another_writer_answered_meanwhile_stays_beside_a_refusals_answers(desk: Desk) -> None:
    first, second, third = ({"id": i, "request": "trial 0 stop", "message": i} for i in "abc")
    desk.writer.write(desk.status(requests=[first]))
    late = desk.another(desk.shown())
    desk.writer.write(desk.status("True", requests=[first, second]))
    bare = {"state": "Failed", "conditions": desk.shown()["conditions"]}
    late.refuse({**bare, "requests": [{**second, "message": "refused"}, third]})
    assert desk.shown()["requests"] == [first, second, third]


def test_a_condition_is_amended_to_what_waits_to_be_written(desk: Desk) -> None:
    desk.writer.write(desk.status(trials=1))
    desk.writer.offer(desk.status(trials=2))
    away = {**desk.shown()["conditions"][0], "type": "StoreReady", "status": "False"}
    for message in ("away", "still away"):
        desk.process.cut_off = message == "away"
        desk.writer.amend({"state": "Created", "conditions": [{**away, "message": message}]})
    shown = desk.shown()
    assert (shown["state"], shown["trials"], shown["conditions"][-1]["message"]) == ("Running", 2, "still away")


def test_a_condition_that_is_found_may_lack_anything(desk: Desk) -> None:
    known = desk.shown()
    odd = [{"type": "Stalled", "status": "True", "lastTransitionTime": "now"}, {"type": "Odd"}]
    api, found = desk.cluster.api(), desk.cluster.api().get(SMALL)
    api.replace(f"{SMALL}/status", {**found, "status": {"state": "Running", "conditions": odd}})
    away = {**odd[0], "type": "StoreReady"}
    desk.another(known).amend({"state": "Created", "conditions": [away]})
    assert away in desk.shown()["conditions"]


def test_where_nothing_was_shown_a_bare_status_is(desk: Desk) -> None:
    condition = {"type": "StoreReady", "status": "False", "reason": "x", "message": "", "lastTransitionTime": "now"}
    desk.writer.amend({"state": "Created", "conditions": [condition]})
    assert desk.shown()["state"] == "Created"
