"""Pods as a place, where Kubernetes has its own say: taken names, quotas, deadlines, silent nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptRequest
from kubetuna_operator import LABEL_TOLD
from kubetuna_operator.context import ExperimentRef
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.pods.withdrawals import LOOKS, Withdrawals
from kubetuna_operator.workloads import launches, removal
from kubetuna_operator.workloads.executor import PodExecutor
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure, forbidden, invalid
from tests.apiserver.operating import Process
from tests.apiserver.resources import PODS, Object, Resource
from tests.fakes import look
from tests.local.runs import experiment

NAME = "small-0-0-0"
KEY = AttemptKey(0, 0)
POD = f"{collection('pods', NAMESPACE)}/{NAME}"


def order(params_hash: str = "h", timeout: float | None = None, trial: int = 0) -> AttemptRequest:
    environment = {"KUBETUNA_TRIAL": str(trial)}
    return AttemptRequest(AttemptKey(trial, 0), f"small-{trial}-0-0", {"x": 0.5}, params_hash, environment, timeout)


@dataclass
class Room:
    """A place in a cluster. ``document`` is the Experiment that owns its Pods."""

    cluster: Cluster
    process: Process
    place: PodExecutor
    store: str

    @property
    def kubelet(self) -> Any:
        return self.cluster.kubelet

    def again(self) -> PodExecutor:
        """The same place as another process sees it that knows nothing yet."""
        process = Process(self.cluster, self.store, "two")
        spec, ref = self.place._spec, self.place._about
        return PodExecutor(process.context, spec, ref)

    def facts(self, key: AttemptKey = KEY) -> AttemptFacts | None:
        return next((f for f in look(self.place) if f.key == key), None)

    def until(self, check: Callable[[AttemptFacts], Any], key: AttemptKey = KEY) -> AttemptFacts:
        """Wait until the watch has brought it."""
        found: AttemptFacts = self.cluster.until(lambda: (f := self.facts(key)) and check(f) and f)
        return found

    def names(self) -> list[str]:
        return [p["metadata"]["name"] for p in self.kubelet.pods()]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = make_room(tmp_path)
    yield made
    made.process.close()


def make_room(folder: Path, **spec: Any) -> Room:
    cluster, store = Cluster(), f"sqlite:///{folder}/study.db"
    document = json.loads(experiment("", **spec))
    ref = ExperimentRef(cluster.make_owner(document), 1)
    process = Process(cluster, store)
    process.watch_pods()
    return Room(cluster, process, PodExecutor(process.context, parse_experiment(document), ref), store)


def start(room: Room, name: str = NAME) -> None:
    room.kubelet.schedule(name)
    room.kubelet.start(name)


def test_a_pod_is_adopted_by_who_ordered_just_this_one(room: Room) -> None:
    room.place.launch(order())
    uid = room.kubelet.pod(NAME)["metadata"]["uid"]
    room.place.launch(order())
    room.again().launch(order())
    assert room.names() == [NAME] and room.until(lambda f: f.uid == uid).waiting is None


@pytest.mark.parametrize("difference", ["owner", "parameters", "leaving"])
def test_a_stranger_of_the_same_name_is_neither_adopted_nor_touched_and_outwaited(
    room: Room, difference: str
) -> None:
    room.place.launch(order("other" if difference == "parameters" else "h"))
    start(room)
    if difference == "leaving":
        room.kubelet.heed(NAME, None)
        room.cluster.api().delete(POD)
    stranger = room.again()
    if difference == "owner":
        room.cluster.server.change(room.kubelet.pod(NAME), lambda p: p["metadata"].pop("ownerReferences"))
    before = room.kubelet.pod(NAME)
    stranger.launch(order())
    (waiting,) = look(stranger)
    why = "of an earlier order is being deleted" if difference == "leaving" else "is there and is not ours"
    assert waiting.phase == "pending" and why in str(waiting.waiting)
    assert stranger.stalled() == waiting.waiting and room.kubelet.pod(NAME) == before
    room.kubelet.lose(NAME)
    room.cluster.clock.time += 6
    look(stranger)
    assert room.kubelet.pod(NAME)["metadata"]["uid"] != before["metadata"]["uid"]


def test_a_stopped_pod_saves_and_leaves_within_its_grace(room: Room) -> None:
    room.place.launch(order())
    start(room)
    room.until(lambda f: f.phase == "running")
    room.kubelet.heed(NAME, 0, "saved")
    room.place.stop(KEY, "Pruned")
    assert room.kubelet.pod(NAME)["spec"]["activeDeadlineSeconds"] == 1
    room.cluster.advance(1)
    facts = room.until(lambda f: f.phase == "ended")
    assert facts.exit is not None and (facts.exit.exit_code, facts.exit.reason) == (0, "DeadlineExceeded")
    assert b"".join(room.cluster.api().stream(f"{POD}/log", {}, 1.0)) == b"saved\n"


def test_a_pod_on_no_node_has_no_kubelet_to_stop_it_and_is_deleted(room: Room) -> None:
    room.place.launch(order())
    room.until(lambda f: f.phase == "pending")
    room.place.stop(KEY, "Stopped")
    assert room.names() == []


def test_a_pod_that_has_run_since_it_was_last_seen_is_not_deleted_for_want_of_a_node(room: Room) -> None:
    """With it its log would go, and what it has finished would be trained again."""
    room.place.launch(order())
    room.until(lambda f: f.phase == "pending")
    room.process.cut_off = True
    room.cluster.server.cut_watches()
    start(room)
    room.kubelet.exit(NAME)
    room.process.cut_off = False
    room.place.stop(KEY, "Suspended")
    assert room.names() == [NAME]
    facts = room.until(lambda f: f.phase == "ended")
    assert facts.exit is not None and facts.exit.exit_code == 0


def test_a_pod_made_anew_under_the_same_name_is_not_stopped(room: Room) -> None:
    room.place.launch(order())
    start(room)
    room.until(lambda f: f.phase == "running")
    room.process.cut_off = True
    room.cluster.server.cut_watches()
    room.kubelet.lose(NAME)
    room.cluster.api().create(
        collection("pods", NAMESPACE), {"metadata": {"name": NAME}, "spec": {"containers": [{}]}}
    )
    before = room.kubelet.pod(NAME)
    room.process.cut_off = False
    room.place.stop(KEY, "Pruned")
    deletions = room.process.asked.count(("DELETE", POD))
    room.place.delete(KEY)
    room.cluster.until(lambda: room.process.asked.count(("DELETE", POD)) > deletions)
    room.cluster.advance(60)
    assert room.kubelet.pod(NAME) == before


def test_the_timeout_counts_from_the_containers_start(room: Room) -> None:
    room.place.launch(order(timeout=30.0))
    room.cluster.advance(100)
    start(room)
    room.until(lambda f: f.phase == "running")
    room.cluster.advance(29)
    look(room.place)
    assert "activeDeadlineSeconds" not in room.kubelet.pod(NAME)["spec"]
    room.cluster.advance(1)
    look(room.place)
    assert room.kubelet.pod(NAME)["spec"]["activeDeadlineSeconds"] == 1


def test_a_full_quota_is_waited_for(room: Room) -> None:
    quotas = collection("resourcequotas", NAMESPACE)
    room.cluster.api().create(quotas, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": 0}}})
    room.place.launch(order())
    room.cluster.clock.time += 100_000
    facts = room.facts()
    assert facts is not None and facts.phase == "pending" and "exceeded quota" in str(facts.waiting)
    room.cluster.api().delete(f"{quotas}/none")
    room.cluster.clock.time += 11
    look(room.place)
    assert room.names() == [NAME] and room.until(lambda f: f.uid is not None).waiting is None


def test_a_turn_goes_through_all_pods_once_however_often_one_is_asked_for(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [AttemptKey(trial, 0) for trial in range(20)]
    for key in keys:
        room.place.launch(order(trial=key.trial))
    room.cluster.until(lambda: len(look(room.place)) == 20)
    index, looks = room.process.context.pods, list[str]()
    monkeypatch.setattr(index, "of", lambda owner, of=index.of: looks.append(owner) or of(owner))
    for turn in range(3):
        room.kubelet.schedule(f"small-{turn}-0-0")
        room.until(lambda f: f.node is not None, keys[turn])
        looks.clear()
        look(room.place)
        assert all(room.place.find(key) is not None for key in keys) and not room.place.stalled()
        assert looks == []


def posts(room: Room) -> int:
    return room.process.asked.count(("POST", collection("pods", NAMESPACE)))


def test_of_many_launches_beyond_a_full_quota_one_asks_ever_more_rarely_and_all_follow_it(room: Room) -> None:
    quotas = collection("resourcequotas", NAMESPACE)
    room.cluster.api().create(quotas, {"metadata": {"name": "some"}, "spec": {"hard": {"pods": 1}}})
    for trial in range(40):
        room.place.launch(order(trial=trial))
    assert posts(room) == 2, "one is taken, one refused, the others know"
    for _ in range(300):
        room.cluster.clock.time += 1
        found = look(room.place)
        assert len(found) == 40 and all("exceeded quota" in f.waiting for f in found if f.waiting)
    assert posts(room) <= 12
    room.cluster.api().delete(f"{quotas}/some")
    room.cluster.clock.time += 60
    before = posts(room)
    for _ in range(10):
        look(room.place)
    assert len(room.names()) == 40 and posts(room) == before + 39


def test_the_end_of_an_own_pod_makes_room_at_once(room: Room) -> None:
    quotas = collection("resourcequotas", NAMESPACE)
    room.cluster.api().create(quotas, {"metadata": {"name": "some"}, "spec": {"hard": {"pods": 1}}})
    for trial in range(2):
        room.place.launch(order(trial=trial))
    start(room)
    room.until(lambda f: f.phase == "running")
    room.cluster.clock.time += 300
    look(room.place)
    room.kubelet.exit(NAME)
    room.until(lambda f: f.phase == "ended")
    look(room.place)
    assert "small-1-0-0" in room.names()


QUOTA = 'pods "small-0-0-0" is forbidden: exceeded quota: gpus, requested: pods=1, used: pods=1, limited: pods=1'


@pytest.mark.parametrize(
    ("code", "message", "passes"),
    [
        (403, QUOTA, True),
        (403, 'jobs.batch "x" is forbidden: status unknown for quota: gpus, resources: count/jobs.batch', True),
        (403, 'pods "x" is forbidden: unable to create new content in namespace lab because it is', True),
        (403, 'pods "x" is forbidden: failed quota: gpus: must specify limits.cpu for: trial', False),
        (403, 'pods "quota-0-0-0" is forbidden: violates PodSecurity "restricted:latest"', False),
        (403, 'admission webhook "exceeded quota: x" denied the request', False),
        (403, 'pods "x" is forbidden: error looking up service account lab/exceeded quota: a', False),
        (422, QUOTA, False),
    ],
)
def test_a_full_quota_is_known_by_what_the_api_server_says_and_not_by_a_name(
    code: int, message: str, passes: bool
) -> None:
    assert launches._passes(Refused(code, "Forbidden", message)) is passes


def test_a_pod_that_the_server_takes_for_invalid_fails_after_the_start_timeout(tmp_path: Path) -> None:
    room = make_room(tmp_path, startTimeout="60s")

    def refuse(resource: Resource, obj: Object) -> None:
        if resource == PODS:
            raise invalid(resource, obj["metadata"]["name"], "spec.containers[0].resources", "no such resource")

    room.cluster.server.writes.admissions.append(refuse)
    room.place.launch(order())
    facts = room.facts()
    assert facts is not None and facts.phase == "pending" and "no such resource" in room.place.stalled()
    room.cluster.clock.time += 61
    facts = room.facts()
    assert facts is not None and facts.exit is not None and facts.exit.reason == "StartError"
    room.process.close()


def test_a_server_that_is_away_is_asked_again(room: Room) -> None:
    room.process.cut_off = True
    room.place.launch(order())
    facts = room.facts()
    assert facts is not None and facts.phase == "pending" and facts.waiting == Unreachable("").public
    room.process.cut_off = False
    room.cluster.clock.time += 6
    look(room.place)
    assert room.names() == [NAME]


def test_a_launch_whose_answer_was_lost_is_found_and_not_repeated(room: Room) -> None:
    room.process.lost = 1
    room.place.launch(order())
    room.cluster.clock.time += 6
    look(room.place)
    assert room.names() == [NAME] and room.until(lambda f: f.uid is not None).waiting is None
    assert room.process.asked.count(("POST", collection("pods", NAMESPACE))) <= 2


def test_a_pod_that_no_watch_has_shown_and_that_has_run_is_not_taken_back_unread(room: Room) -> None:
    """The answer to its creation was lost, and the watch is silent: whoever stops it looks for it first."""
    room.place.launch(order())
    start(room)
    room.kubelet.exit(NAME)
    unaware = room.again()
    unaware.stop(KEY, "Suspended")
    assert not unaware._launches.is_withdrawn(KEY) and room.names() == [NAME]


def test_a_pod_that_comes_after_it_was_taken_back_is_not_deleted_unread(room: Room) -> None:
    """The last look of a withdrawal would delete it, with a log that nobody has read."""
    waiting = DeferredWrites(room.cluster.clock.now)
    withdrawals = Withdrawals(waiting)
    room.place._launches._withdrawals = withdrawals
    room.place.delete(KEY)
    assert withdrawals.holds(room.place._owner.uid, KEY) and waiting.step()
    room.again().launch(order())
    room.until(lambda f: f.uid is not None)
    room.cluster.clock.time += LOOKS[-1]
    assert waiting.step() and room.names() == [NAME]


def test_of_failed_pods_the_latest_stay_and_are_marked(room: Room) -> None:
    for trial in range(5):
        room.place.launch(order(trial=trial))
        start(room, f"small-{trial}-0-0")
        room.kubelet.exit(f"small-{trial}-0-0", 1)
        key = AttemptKey(trial, 0)
        room.until(lambda f: f.phase == "ended", key)
        room.place.delete(key)
    room.cluster.until(lambda: room.names() == ["small-2-0-0", "small-3-0-0", "small-4-0-0"])
    room.cluster.until(lambda: all(LABEL_TOLD in p["metadata"]["labels"] for p in room.kubelet.pods()))
    assert not look(room.place)


def test_what_crashed_stays_beside_any_number_of_failures_to_start(room: Room) -> None:
    """A node that starts nothing would else take away what there is to look at."""
    for trial in range(6):
        name, key = f"small-{trial}-0-0", AttemptKey(trial, 0)
        room.place.launch(order(trial=trial))
        if trial:
            room.kubelet.schedule(name, "node-1")
            room.kubelet.exit(name, 128, "StartError", "no such device")
        else:
            start(room, name)
            room.kubelet.exit(name, 1)
        room.until(lambda f: f.phase == "ended", key)
        room.place.delete(key)
    room.cluster.until(lambda: room.names() == ["small-0-0-0", "small-4-0-0", "small-5-0-0"])


def test_what_crashed_once_it_was_told_to_end_stays_and_what_was_ended_goes(room: Room) -> None:
    for trial in range(2):
        name, key = f"small-{trial}-0-0", AttemptKey(trial, 0)
        room.place.launch(order(trial=trial))
        start(room, name)
        room.until(lambda f: f.phase == "running", key)
        room.place.stop(key, "Pruned")
        if trial:
            room.kubelet.heed(name, 143)
            room.cluster.advance(1)
        else:
            room.kubelet.exit(name, 137, "OOMKilled")
        room.until(lambda f: f.phase == "ended", key)
        room.place.delete(key)
    room.cluster.until(lambda: room.names() == ["small-0-0-0"])


def test_failures_that_an_earlier_process_kept_are_among_the_latest_three(room: Room) -> None:
    place, index, owner = room.place, room.process.context.pods, room.place._owner.uid
    for trial in range(8):
        name, key = f"small-{trial}-0-0", AttemptKey(trial, 0)
        place.launch(order(trial=trial))
        start(room, name)
        room.kubelet.exit(name, 1)
        room.cluster.until(lambda k=key, p=place: any(f.key == k and f.phase == "ended" for f in look(p)))
        place.delete(key)
        room.cluster.clock.time += 1
        room.cluster.until(lambda: all(LABEL_TOLD in p["metadata"]["labels"] for p in room.kubelet.pods()))
        if trial == 4:
            room.cluster.until(lambda: len(room.names()) == 3)
            room.cluster.until(lambda: sum(p.told for p in index.of(owner)) == 3)
            place = PodExecutor(room.process.context, place._spec, place._about)
    room.cluster.until(lambda: room.names() == ["small-5-0-0", "small-6-0-0", "small-7-0-0"])


def test_what_another_run_marked_while_this_one_thought_stays(room: Room) -> None:
    """An edit begins another run: it saw the Pod unmarked, and is to end it once that is marked."""
    room.place.launch(order())
    start(room)
    room.kubelet.exit(NAME, 1)
    room.until(lambda f: f.phase == "ended")
    later = PodExecutor(room.process.context, room.place._spec, room.place._about)
    assert [seen.key for seen in look(later)] == [KEY]
    room.place.delete(KEY)
    room.cluster.until(lambda: all(p.told for p in room.process.context.pods.of(room.place._owner.uid)))
    later.delete(KEY)
    assert not later._launches.is_withdrawn(KEY) and room.names() == [NAME]


def test_a_deleted_pod_is_gone_from_the_cluster_too(room: Room) -> None:
    room.place.launch(order())
    start(room)
    room.until(lambda f: f.phase == "running")
    room.place.delete(KEY)
    room.cluster.until(lambda: not room.names())


BY_A_WEBHOOK = forbidden(PODS, NAME, "a webhook says no")
BY_A_CONFLICT = Failure(409, "Conflict", "the object has been modified")


def refuse(patch: pytest.MonkeyPatch, part: object, verb: str, times: int, failure: Failure = BY_A_WEBHOOK) -> None:
    """Let a part of the server refuse a verb this many times."""
    really, refusals = getattr(part, verb), iter(range(times))

    def refusing(*words: Any) -> Any:
        if next(refusals, None) is not None:
            raise failure
        return really(*words)

    patch.setattr(part, verb, refusing)


def test_a_deletion_that_is_refused_is_sent_until_it_is_taken(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at a Pod that was told again: it would run for ever."""
    room.place.launch(order())
    start(room)
    room.until(lambda f: f.phase == "running")
    refuse(monkeypatch, room.cluster.server.deletion, "delete", 2)
    room.place.delete(KEY)
    room.cluster.until(lambda: not room.names())


@pytest.mark.parametrize("failure", [BY_A_WEBHOOK, BY_A_CONFLICT])
def test_a_mark_that_is_refused_is_set_later(room: Room, monkeypatch: pytest.MonkeyPatch, failure: Failure) -> None:
    room.place.launch(order())
    start(room)
    room.kubelet.exit(NAME, 1)
    room.until(lambda f: f.phase == "ended")
    refuse(monkeypatch, room.cluster.server.writes, "merge", 2, failure)
    room.place.delete(KEY)
    room.cluster.until(lambda: LABEL_TOLD in room.kubelet.pod(NAME)["metadata"]["labels"])


@pytest.mark.parametrize("code", [0, 1], ids=["deletion", "mark"])
def test_what_the_server_took_and_lost_is_sent_until_it_is_seen(
    room: Room, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As where its power goes before that was on a disk: a Pod that is open for whoever comes next."""
    monkeypatch.setattr(removal, "UNSEEN_SECONDS", 0.01)
    room.place.launch(order())
    start(room)
    room.kubelet.exit(NAME, code)
    room.until(lambda f: f.phase == "ended")
    room.cluster.server.forgets = True
    asked = ("PATCH" if code else "DELETE", f"{collection('pods', NAMESPACE)}/{NAME}")
    room.place.delete(KEY)
    room.cluster.until(lambda: room.process.asked.count(asked) > 1)
    room.cluster.server.forgets = False
    left = [True] if code else []
    room.cluster.until(lambda: [LABEL_TOLD in p["metadata"]["labels"] for p in room.kubelet.pods()] == left)


def test_a_pod_whose_node_is_silent_counts_as_lost_only_after_the_grace(room: Room) -> None:
    room.place.launch(order())
    start(room)
    room.until(lambda f: f.phase == "running")
    room.kubelet.silent.add("node-1")
    room.cluster.api().delete(POD, gracePeriodSeconds=30)
    room.cluster.clock.time += 30 + 60
    assert room.until(lambda f: f.uid).phase == "running"
    room.cluster.clock.time += 1
    facts = room.until(lambda f: f.phase == "ended")
    assert facts.exit is not None and facts.exit.reason == "NodeLost"
