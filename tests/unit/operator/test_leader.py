"""One of several operators works: over a Lease, with what a real server says to the second writer."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kubetuna_operator.kube import leader
from kubetuna_operator.kube.api_client import NotLeading, collection
from kubetuna_operator.kube.leader import NAME, Leadership
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.server import Response

LEASE = f"{collection('leases', NAMESPACE)}/{NAME}"
OTHER = "kubetuna-operator-other"


class Election:
    """Candidates around one Lease. A candidate in ``cut_off`` does not reach the server."""

    def __init__(self) -> None:
        self.cluster, self.cut_off = Cluster(), set[str]()
        self.ended: list[threading.Event] = []
        self.asked: list[tuple[str, str, str]] = []
        self.candidates: list[Leadership] = []

    def candidate(self, identity: str) -> Leadership:
        def handle(*request: object) -> Response:
            if identity in self.cut_off:
                raise ConnectionRefusedError("connection refused")
            self.asked.append((identity, str(request[0]), str(request[1]).split("/")[-2]))
            return self.cluster.server.handle(*request)  # type: ignore[arg-type]

        self.candidates.append(Leadership(self.cluster.api(handle), NAMESPACE, identity))
        return self.candidates[-1]

    def waits(self, candidate: Leadership) -> threading.Event:
        """Let a candidate wait for the Lease; set once it holds it."""
        stopped, held = threading.Event(), threading.Event()
        self.ended.append(stopped)

        def wait() -> None:
            if candidate.acquire(stopped):
                held.set()

        threading.Thread(target=wait, daemon=True).start()
        return held

    def holder(self) -> str:
        return str(self.cluster.api().get(LEASE)["spec"]["holderIdentity"])

    def pod(self, name: str) -> None:
        body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "operator"}]}}
        self.cluster.api().create(collection("pods", NAMESPACE), body)
        self.cluster.kubelet.schedule(name)
        self.cluster.kubelet.start(name)

    def close(self) -> None:
        for stopped in self.ended:
            stopped.set()
        for candidate in self.candidates:
            candidate.release()


@pytest.fixture
def election(monkeypatch: pytest.MonkeyPatch) -> Iterator[Election]:
    monkeypatch.setattr(leader, "RETRY", 0.01)
    made = Election()
    yield made
    made.close()


def test_a_lease_is_renewed_with_one_request_and_its_holder_looked_at_only_where_it_is_silent(
    election: Election,
) -> None:
    election.pod(OTHER)
    first, second = election.candidate(OTHER), election.candidate("second")
    assert first.look() and first.look() and not second.look()
    election.asked.clear()
    assert first.look() and not second.look()
    assert election.asked == [(OTHER, "PUT", "leases"), ("second", "GET", "leases")]
    assert not second.look() and election.asked[3:] == [("second", "GET", "pods")]


def test_who_wrote_to_a_lease_since_it_was_renewed_is_heeded(election: Election) -> None:
    first = election.candidate("first")
    assert first.look()
    election.cluster.api().merge(LEASE, {"metadata": {"labels": {"team": "ours"}}})
    assert first.look() and first.holds(), "whoever it was, the Lease is ours"
    election.cluster.api().merge(LEASE, {"spec": {"holderIdentity": "second", "leaseTransitions": 9}})
    assert not first.look() and first.lost


def test_the_first_one_leads_and_the_second_waits_until_it_is_let_in(election: Election) -> None:
    first = election.candidate("first")
    assert first.acquire(threading.Event())
    held = election.waits(election.candidate("second"))
    assert not held.wait(0.1) and election.holder() == "first"
    first.release()
    assert held.wait(10) and election.holder() == "second"
    assert election.cluster.api().get(LEASE)["spec"]["leaseTransitions"] == 2


def test_who_held_it_before_goes_on_at_once(election: Election) -> None:
    assert election.candidate("first").acquire(threading.Event())
    assert election.candidate("first").acquire(threading.Event())


def test_a_wait_ends_when_it_is_asked_to(election: Election) -> None:
    assert election.candidate("first").acquire(threading.Event())
    stopped = threading.Event()
    stopped.set()
    assert not election.candidate("second").acquire(stopped)


def test_of_two_that_find_it_free_one_gets_it(election: Election) -> None:
    """The second one's write is on old knowledge, as the server sees it."""
    candidates = [election.candidate(name) for name in ("first", "second")]
    held = [election.waits(candidate) for candidate in candidates]
    election.cluster.until(lambda: any(event.is_set() for event in held))
    assert not all(event.wait(0.05) for event in held)


def test_a_silent_holder_is_followed_after_the_leases_time(
    election: Election, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "DURATION", 0.2)
    assert election.candidate("first").acquire(threading.Event())
    held = election.waits(election.candidate("second"))
    assert held.wait(10) and election.holder() == "second"


@pytest.mark.parametrize("end", ["gone", "ended"])
def test_a_holder_whose_pod_is_no_more_is_followed_at_once(election: Election, end: str) -> None:
    election.pod(OTHER)
    assert election.candidate(OTHER).acquire(threading.Event())
    held = election.waits(election.candidate("second"))
    assert not held.wait(0.1)
    if end == "gone":
        election.cluster.kubelet.lose(OTHER)
    else:
        election.cluster.kubelet.exit(OTHER, 1)
    assert held.wait(10)


def test_who_cannot_renew_is_told_that_it_leads_no_longer(
    election: Election, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "RENEW_WITHIN", 0.2)
    lost = threading.Event()
    first = election.candidate("first")
    assert first.acquire(threading.Event())
    first.keep(lost.set)
    renewed = election.cluster.api().get(LEASE)["metadata"]["resourceVersion"]
    election.cluster.until(lambda: election.cluster.api().get(LEASE)["metadata"]["resourceVersion"] != renewed)
    assert not lost.is_set()
    election.cut_off.add("first")
    assert lost.wait(10)


def test_a_look_takes_or_renews_and_what_is_not_renewed_is_lost() -> None:
    cluster, now, away = Cluster(), [100.0], [False]

    def handle(*request: object) -> Response:
        if away[0]:
            raise ConnectionRefusedError("connection refused")
        return cluster.server.handle(*request)  # type: ignore[arg-type]

    first, second = (Leadership(cluster.api(handle), NAMESPACE, n, lambda: now[0], lambda: 0.0) for n in "ab")
    assert first.look() and not second.look() and first.look()
    away[0] = True
    assert not first.look() and not first.lost
    now[0] += leader.RENEW_WITHIN + 1
    assert not first.look() and first.lost and not second.lost
    away[0] = False
    assert not second.look(), "silence counts from when it was seen"
    now[0] += leader.DURATION + 1
    assert second.look() and not first.look()


class Candidate:
    """One of several around a Lease, on a clock of the test's."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.now, self.away = 100.0, False

        def handle(*request: object) -> Response:
            if self.away:
                raise ConnectionRefusedError("connection refused")
            return cluster.server.handle(*request)  # type: ignore[arg-type]

        api = cluster.api(handle)
        self.leadership = Leadership(api, NAMESPACE, name, lambda: self.now, lambda: self.now)
        self.api = api.while_leading(self.leadership.holds)

    def writes(self) -> bool:
        try:
            self.api.create(collection("configmaps", NAMESPACE), {"metadata": {"generateName": "made-"}})
        except NotLeading:
            return False
        return True


def test_nothing_is_written_by_who_was_frozen_until_the_lease_is_renewed() -> None:
    cluster = Cluster()
    first = Candidate(cluster, "first")
    assert not first.writes() and first.leadership.look() and first.writes()
    first.now += leader.RENEW_WITHIN + 1
    assert not first.writes() and first.api.get(LEASE), "to read does no harm"
    assert first.leadership.look() and first.writes(), "nobody else had it"


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    """Its answer may be what the process stood still at."""
    cluster = Cluster()
    first = Candidate(cluster, "first")
    first.leadership.look()

    def freeze(change: object) -> None:
        first.now += leader.RENEW_WITHIN + 1

    first.now += 1
    cluster.server.objects.listen(freeze)
    assert first.leadership.look() and not first.leadership.holds()


def test_who_led_and_finds_that_another_one_did_since_leads_no_more() -> None:
    """Also where that one is gone: what is known here is from before its time."""
    cluster = Cluster()
    first, second = Candidate(cluster, "first"), Candidate(cluster, "second")
    assert first.leadership.look() and not second.leadership.look()
    first.now += 60
    second.now += 60
    assert second.leadership.look()
    second.leadership.release()
    for _ in range(2):
        assert not first.leadership.look() and first.leadership.lost and not first.writes()
    assert Candidate(cluster, "third").leadership.look()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_lease_that_was_deleted_is_made_again_by_who_still_holds_it(frozen: bool) -> None:
    cluster = Cluster()
    first, second = Candidate(cluster, "first"), Candidate(cluster, "second")
    assert first.leadership.look()
    cluster.api().delete(LEASE)
    first.now += 60 if frozen else 1
    assert first.leadership.look() is not frozen and first.leadership.lost is frozen
    assert second.leadership.look() is frozen


def test_of_two_leaders_after_a_deletion_the_first_one_ends() -> None:
    cluster = Cluster()
    first, second = Candidate(cluster, "first"), Candidate(cluster, "second")
    assert first.leadership.look()
    cluster.api().delete(LEASE)
    assert second.leadership.look()
    assert not first.leadership.look() and first.leadership.lost and not first.writes()
