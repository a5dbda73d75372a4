"""Pods that say they are ours: copies, strangers, and those that a silent watch does not show."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.resources import Object
from tests.unit.operator.test_jobs import Works
from tests.unit.operator.test_pod_executor import KEY, NAME, Room, make_room, order, start


@pytest.fixture
def room(tmp_path: Path) -> Any:
    made = make_room(tmp_path)
    yield made
    made.process.close()


def copied(room: Room | Works, pod: Object, name: str, **labels: str) -> None:
    """What ``kubectl get -o yaml | kubectl create`` makes of a Pod under another name; it ends with a last word."""
    metadata = {n: v for n, v in pod["metadata"].items() if n in ("labels", "annotations", "ownerReferences")}
    metadata = copy.deepcopy({**metadata, "name": name})
    metadata["labels"] |= labels
    room.cluster.api().create(collection("pods", NAMESPACE), {"metadata": metadata, "spec": pod["spec"]})
    kubelet = room.cluster.kubelet
    kubelet.schedule(name)
    kubelet.start(name)
    kubelet.exit(name, 0, message="loss=-1000")


def test_a_copy_of_a_pod_changes_nothing(room: Room) -> None:
    room.place.launch(order())
    start(room)
    real = room.until(lambda f: f.phase == "running")
    copied(room, room.kubelet.pod(NAME), f"{NAME}-copy")
    copied(room, room.kubelet.pod(NAME), "small-7-0-0", **{"kubetuna.dev/trial": "8"})
    room.cluster.until(lambda: len(room.process.context.pods.of(room.place._owner.uid)) == 3)
    for place in (room.place, room.again()):
        assert place.observe() == (real,) or place is not room.place
        found = place.find(KEY)
        assert found is None or found.uid == real.uid


@pytest.mark.parametrize("odd", ["owner", "uid", "label", "hash"])
def test_a_pod_of_our_name_that_is_not_ours_in_every_way_is_a_stranger(room: Room, odd: str) -> None:
    room.place.launch(order())
    start(room)
    room.until(lambda f: f.phase == "running")
    metadata = room.kubelet.pod(NAME)["metadata"]
    room.kubelet.lose(NAME)
    other = copy.deepcopy({n: metadata[n] for n in ("name", "labels", "annotations", "ownerReferences")})
    if odd == "owner":
        other["ownerReferences"] = []
    elif odd == "uid":
        other["annotations"]["kubetuna.dev/experiment-uid"] = "another"
    elif odd == "label":
        other["labels"]["kubetuna.dev/experiment"] = "another"
    else:
        other["annotations"]["kubetuna.dev/params-hash"] = "another"
    room.cluster.api().create(collection("pods", NAMESPACE), {"metadata": other, "spec": {"containers": [{}]}})
    room.cluster.until(lambda: room.facts() is None)
    before = room.kubelet.pod(NAME)
    room.place.stop(KEY, "Stopped")
    room.place.delete(KEY)
    # What an earlier process may have made is looked for in the background; here, now.
    room.place._makers.remove_made(KEY)
    assert room.place.gone(KEY) and room.kubelet.pod(NAME) == before


def test_of_the_pods_of_one_job_the_one_that_it_made_counts(tmp_path: Path) -> None:
    works = Works(tmp_path)
    works.place.launch(order())
    real = works.until(lambda f: f.uid)
    (pod,) = works.cluster.kubelet.pods()
    works.cluster.clock.time += 5
    copied(works, pod, "a-copy")
    works.cluster.until(lambda: len(works.process.context.pods.of(works.place._owner.uid)) == 2)
    facts = works.facts()
    assert facts is not None and (facts.uid, facts.phase) == (real.uid, "pending")
    works.process.close()


def blind(room: Room) -> None:
    """The watch is silent from now on: a place that takes over knows no Pod."""
    room.process.close()


def test_a_pod_that_a_silent_watch_does_not_show_is_not_gone(room: Room) -> None:
    room.place.launch(order())
    start(room)
    uid = room.kubelet.pod(NAME)["metadata"]["uid"]
    blind(room)
    place = room.again()
    assert not place.observe() and place.gone(KEY) is None
    learned: list[Any] = []
    place._pods.learn_with(NAMESPACE, learned.append)
    place.gone(KEY)
    assert [pod["metadata"]["uid"] for pod in learned] == [uid]
    room.kubelet.lose(NAME)
    assert place.gone(KEY)


def test_nothing_is_gone_while_nobody_can_look_and_it_is_not_asked_at_every_turn(room: Room) -> None:
    room.process.cut_off = True
    assert room.place.gone(KEY) is None
    room.process.cut_off = False
    assert room.place.gone(KEY) is None, "a server that was away is left alone for a while"
    room.cluster.clock.time += 6
    assert room.place.gone(KEY)
    asked = len(room.process.asked)
    assert room.place.gone(KEY) and len(room.process.asked) == asked


def test_who_takes_a_pod_away_is_known_also_when_it_is_gone_at_once(room: Room) -> None:
    """A preempted Pod ends and is deleted within a moment: only its condition says who did that."""
    room.place.launch(order())
    start(room)
    room.kubelet.disrupt(NAME, "PreemptionByScheduler", "by a Pod of higher priority")
    room.until(lambda f: f.phase == "running" and room.place.find(KEY).disruption)
    room.kubelet.lose(NAME)
    room.cluster.until(lambda: room.facts() is None)
    end = room.place.gone(KEY)
    assert end is not None and (end.reason, end.exit_code) == ("PreemptionByScheduler", None)


def test_what_was_gone_and_is_launched_again_is_there(room: Room) -> None:
    assert room.place.gone(KEY)
    room.place.launch(order())
    room.until(lambda f: f.uid)
    assert room.place.gone(KEY) is None
