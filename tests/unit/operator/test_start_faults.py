"""What keeps an attempt from starting: how long it is waited for, and from when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubetuna.trials.attempts import AttemptFacts, ExitFacts
from kubetuna_operator.kube.api_client import Refused, collection
from kubetuna_operator.pods.status import view
from kubetuna_operator.pods.warnings import ASK_SECONDS, SLOW_SECONDS
from tests.apiserver.cluster import NAMESPACE
from tests.unit.operator.pods import ended, pod, waiting
from tests.unit.operator.test_pod_executor import NAME, Room, make_room
from tests.unit.operator.test_pod_executor import order as launch_order
from tests.unit.operator.test_stops import BUSY, KEY, Cluster, order

MINUTE = 60.0
TIMEOUT = 10 * MINUTE
DELETE = "delete /api/v1/namespaces/lab/pods/small-3-0-1"
IMAGE, CONFIGURATION = waiting("ErrImagePull", "429"), waiting("CreateContainerConfigError", "no Secret")


class Waiting(Cluster):
    """A place whose one Pod does not start; times count from when it was made."""

    def show_pending(self, state: dict[str, Any] | None, **metadata: Any) -> None:
        found = pod("Pending", state, metadata=metadata)
        self.shown = view(found)
        self.index.update(("lab", "small-3-0-1"), None, self.shown)

    def goes(self) -> AttemptFacts:
        """The Pod is told to go, and goes."""
        assert self.facts().phase == "pending" and self.api.sent == [DELETE], "it may still start"
        self.index.update(("lab", "small-3-0-1"), self.shown, None)
        return self.facts()

    def at(self, minute: float) -> AttemptFacts:
        self.clock.time = self.start + minute * MINUTE
        if (again := self.place.unfinished()) is not None:
            again()
        return self.facts()


def test_time_in_a_queue_is_no_time_in_which_an_image_could_not_be_pulled() -> None:
    cluster = Waiting()
    cluster.show_pending(None)
    assert cluster.at(60).phase == "pending"
    cluster.show_pending(IMAGE)
    assert cluster.at(61).phase == "pending"
    assert cluster.at(70.9).phase == "pending"
    assert cluster.at(71.1).phase == "pending"
    late = cluster.goes()
    assert late.exit == ExitFacts(reason="StartError", message="ErrImagePull: 429") and late.node == "node-1"
    assert late.ended is None, "nobody knows when, and the present is no answer"


def test_the_words_for_one_obstacle_change_and_its_time_goes_on() -> None:
    cluster = Waiting()
    for minute in range(11):
        cluster.show_pending(waiting(("ErrImagePull", "ImagePullBackOff")[minute % 2]))
        assert cluster.at(minute).phase == "pending"
    cluster.at(10.1)
    assert cluster.goes().phase == "ended"


@pytest.mark.parametrize("between", [CONFIGURATION, waiting("ContainerCreating"), None])
def test_another_obstacle_or_none_begins_the_time_anew(between: dict[str, Any] | None) -> None:
    cluster = Waiting()
    for minute, state in ((0, IMAGE), (9, between), (10, IMAGE)):
        cluster.show_pending(state)
        assert cluster.at(minute).phase == "pending"
    assert cluster.at(19.9).phase == "pending"
    cluster.at(20.1)
    assert cluster.goes().phase == "ended"


def test_what_waited_too_long_has_ended_once_its_pod_is_gone_and_until_it_is_forgotten() -> None:
    """The next attempt would run beside it, if it starts after all."""
    cluster = Waiting()
    cluster.show_pending(IMAGE)
    cluster.at(0)
    cluster.api.faults = [BUSY]
    assert cluster.at(10.1).phase == "pending" and cluster.api.sent == [DELETE]
    assert cluster.at(10.2).phase == "pending" and cluster.api.sent == [DELETE] * 2
    cluster.show_pending(IMAGE, deletionTimestamp="2026-11-24T10:10:13Z", deletionGracePeriodSeconds=30)
    assert cluster.at(10.3).phase == "pending"
    cluster.index.update(("lab", "small-3-0-1"), cluster.shown, None)
    cluster.api.faults = [BUSY]
    assert cluster.at(10.4).phase == "pending", "the API server did not say that it is gone"
    assert cluster.at(11).phase == cluster.at(12).phase == "ended"
    cluster.place.delete(KEY)
    assert cluster.place.observe() == ()


def test_a_node_that_is_away_does_not_keep_what_waited_too_long() -> None:
    cluster = Waiting()
    cluster.show_pending(IMAGE)
    cluster.at(0)
    cluster.at(10.1)
    cluster.show_pending(IMAGE, deletionTimestamp="2026-11-24T10:10:13Z", deletionGracePeriodSeconds=30)
    assert cluster.at(11).phase == "pending"
    late = cluster.at(12)
    assert late.exit is not None and late.exit.reason == "StartError"


def test_what_starts_before_it_is_told_to_go_is_no_failure() -> None:
    cluster = Waiting()
    cluster.show_pending(IMAGE)
    cluster.at(0)
    cluster.api.faults = [Refused(409, "Conflict", "the object has been modified")]
    cluster.at(10.1)
    cluster.show()
    assert cluster.at(10.2).phase == "running" and cluster.api.sent == [DELETE]
    cluster.index.update(("lab", "small-3-0-1"), None, view(pod("Succeeded", ended(0))))
    found = cluster.at(10.3)
    assert found.exit is not None and found.exit.by_itself


@pytest.mark.parametrize("created", [None, "soon", 7, {}])
def test_a_pod_whose_age_is_unreadable_is_not_as_old_as_the_epoch(created: Any) -> None:
    cluster = Waiting()
    cluster.show_pending(IMAGE, creationTimestamp=created)
    facts = cluster.at(5)
    assert (facts.phase, facts.created) == ("pending", None)


def warn(room: Room, reason: str, message: str, second: int, kind: str = "Warning") -> None:
    """A component of the cluster says something of the Pod."""
    uid = room.kubelet.pod(NAME)["metadata"]["uid"]
    event = {
        "metadata": {"name": f"e{second}"}, "involvedObject": {"uid": uid}, "type": kind, "reason": reason,
        "message": message, "lastTimestamp": f"2026-11-24T10:00:{second:02}Z",
    }  # fmt: skip
    room.cluster.api().create(collection("events", NAMESPACE), event)


def test_a_pod_that_waits_for_a_volume_on_its_node_says_what_its_latest_warning_does(tmp_path: Path) -> None:
    """Its object says ContainerCreating for ever, and it holds its GPUs."""
    room = make_room(tmp_path)
    room.place.launch(launch_order())
    room.until(lambda f: f.uid)
    warn(room, "FailedScheduling", "no GPU", 30)
    warn(room, "FailedMount", 'secret "token"\nnot found', 20)
    warn(room, "FailedMount", "an earlier one", 10)
    warn(room, "Pulled", "no warning", 40, "Normal")
    room.kubelet.schedule(NAME)
    room.until(lambda f: f.node)
    room.cluster.clock.time += SLOW_SECONDS - 1
    assert not room.place.observe()[0].waiting
    events = ("GET", collection("events", NAMESPACE))
    assert events not in room.process.asked
    room.cluster.clock.time += 1
    shown = 'FailedMount: secret "token" not found'
    assert room.until(lambda f: f.waiting).waiting == shown and room.place.stalled() == shown
    room.cluster.clock.time += ASK_SECONDS - 1
    room.place.observe()
    assert room.process.asked.count(events) == 1
    room.kubelet.start(NAME)
    room.until(lambda f: f.phase == "running")
    assert not room.place.stalled() and not room.place._warnings._found
    room.process.close()


def test_waiting_for_a_quota_is_no_time_in_which_a_template_was_refused() -> None:
    cluster = Waiting()
    quota = Refused(403, "Forbidden", 'pods "small-3-0-1" is forbidden: exceeded quota: gpus, requested: pods=1')
    cluster.api.faults = [quota] * 2
    cluster.place.launch(order())
    assert cluster.at(30).phase == "pending"
    cluster.api.faults = [Refused(422, "Invalid", "no such resource")] * 3
    assert cluster.at(31).phase == "pending"
    assert cluster.at(40.9).phase == "pending"
    late = cluster.at(42)
    assert late.exit is not None and late.exit.reason == "StartError"


def test_an_obstacle_that_nobody_has_met_for_long_is_none() -> None:
    """While nothing could be asked it may have gone: what was refused first is tried before it is given up."""
    cluster = Waiting()
    cluster.api.faults = [Refused(403, "Forbidden", "the operator cannot create pods")]
    cluster.place.launch(order())
    cluster.clock.time = cluster.start + 15 * MINUTE
    assert [facts.phase for facts in cluster.place.observe()] == ["pending"] and cluster.place.stalled()
    again = cluster.place.unfinished()
    assert again is not None
    again()
    assert not cluster.place.observe() and not cluster.place.stalled()
