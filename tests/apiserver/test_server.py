"""What no script can make a real server do at will: compaction, silence, faults, and Pods whose end is known."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pytest

from kubetuna_operator.kube.api_client import Refused, Unreachable, collection, split_lines
from kubetuna_operator.kube.reflector import Reflector
from kubetuna_operator.pods.status import view
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.conformance import experiment
from tests.apiserver.failures import forbidden
from tests.apiserver.server import Response
from tests.apiserver.watches import Stream

MAPS, PODS = collection("configmaps", NAMESPACE), collection("pods", NAMESPACE)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def made(cluster: Cluster, *names: str) -> str:
    """Make ConfigMaps; the latest revision."""
    revision = ""
    for name in names:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        revision = cluster.api().create(MAPS, body)["metadata"]["resourceVersion"]
    return revision


def pod(cluster: Cluster, name: str = "one", **spec: Any) -> None:
    """Make a Pod and start it."""
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "trial"}], **spec}}
    cluster.api().create(PODS, body)
    cluster.kubelet.schedule(name)
    cluster.kubelet.start(name)


def events(cluster: Cluster, **query: str) -> Iterator[tuple[str, Any]]:
    """What a watch tells. It has begun when this returns."""
    pieces = cluster.api().stream(MAPS, {"watch": "true", "allowWatchBookmarks": "true", **query}, 0.01)
    return (
        (event["type"], event["object"].get("code") or event["object"]["metadata"].get("name"))
        for event in map(json.loads, split_lines(pieces))
    )


def test_a_watch_from_what_is_compacted_is_told_to_list_again(cluster: Cluster) -> None:
    revision = made(cluster, "a")
    made(cluster, "b")
    cluster.server.objects.compact()
    assert list(events(cluster, resourceVersion=revision)) == [("ERROR", 410)]


def test_an_open_watch_outlives_a_compaction(cluster: Cluster) -> None:
    told = events(cluster, resourceVersion=made(cluster, "a"))
    made(cluster, "b")
    cluster.server.objects.compact()
    made(cluster, "c")
    assert list(islice(told, 2)) == [("ADDED", "b"), ("ADDED", "c")]


def test_a_watch_of_no_revision_begins_with_all_there_is(cluster: Cluster) -> None:
    made(cluster, "a", "b")
    assert list(islice(events(cluster), 2)) == [("ADDED", "a"), ("ADDED", "b")]


def test_a_quiet_watch_gets_bookmarks_and_ends_when_it_asked_to(cluster: Cluster) -> None:
    told = events(cluster, resourceVersion=made(cluster, "a"), timeoutSeconds="100")
    cluster.advance(61)
    assert next(told) == ("BOOKMARK", None)
    cluster.advance(40)
    assert list(told) == [("BOOKMARK", None)] and not cluster.server.watches


def test_silence_and_broken_connections_reach_the_transport_as_such(cluster: Cluster) -> None:
    told = events(cluster, resourceVersion=made(cluster, "a"))
    with pytest.raises(Unreachable, match="timed out"):
        next(told)
    told = events(cluster, resourceVersion=made(cluster, "b"))
    made(cluster, "c")
    cluster.server.cut_watches(ConnectionResetError("connection reset by peer"))
    assert next(told) == ("ADDED", "c")
    with pytest.raises(Unreachable, match="reset"):
        next(told)


def test_a_page_of_what_is_compacted_is_gone(cluster: Cluster) -> None:
    made(cluster, "a", "b")
    token = cluster.api().get(MAPS, limit=1)["metadata"]["continue"]
    made(cluster, "c")
    cluster.server.objects.compact()
    with pytest.raises(Refused) as caught:
        cluster.api().get(MAPS, limit=1, **{"continue": token})
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


def test_every_request_passes_one_seam_where_it_can_be_lost_before_or_after(cluster: Cluster) -> None:
    faults: list[str] = ["before", "after", "inside"]

    def faulty(*request: Any) -> Response:
        fault = faults.pop(0) if faults else ""
        if fault == "before":
            raise ConnectionRefusedError("refused")
        answer = cluster.server.handle(*request)
        if fault == "after":
            raise ConnectionResetError("reset")
        return Response(503, b"down", "text/plain") if fault == "inside" else answer

    api = cluster.api(faulty)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}
    with pytest.raises(Unreachable, match="refused"):
        api.create(MAPS, body)
    assert not api_items(cluster)
    with pytest.raises(Unreachable, match="reset"):
        api.create(MAPS, body)
    assert api_items(cluster) == ["one"], "it was done, though nobody heard"
    with pytest.raises(Unreachable, match="503"):
        api.get(MAPS)
    assert len(api.get(MAPS)["items"]) == 1


def api_items(cluster: Cluster) -> list[str]:
    return [item["metadata"]["name"] for item in cluster.api().get(MAPS)["items"]]


def test_the_operators_reflector_follows_it_through_cuts_and_compaction(cluster: Cluster) -> None:
    known: Reflector[str] = Reflector(
        cluster.api(), "configmaps", NAMESPACE, lambda o: str(o["metadata"]["name"]), lambda *_: None
    )
    made(cluster, "a", "b")
    known.start()
    cluster.until(lambda: len(known.items()) == 2)
    cluster.server.cut_watches()
    made(cluster, "c")
    cluster.server.objects.compact()
    cluster.api().delete(f"{MAPS}/a")
    cluster.until(lambda: sorted(known.items().values()) == ["b", "c"])
    known.stop()
    cluster.server.cut_watches()


def test_a_pod_that_takes_no_notice_of_sigterm_is_killed_after_its_grace(cluster: Cluster) -> None:
    pod(cluster, terminationGracePeriodSeconds=5)
    cluster.kubelet.heed("one", None, "never")
    cluster.advance(10)
    cluster.api().merge(f"{PODS}/one", {"spec": {"activeDeadlineSeconds": 1}})
    cluster.advance(1)
    assert view(cluster.kubelet.pod("one")).exit is None
    cluster.advance(5)
    seen = view(cluster.kubelet.pod("one"))
    assert seen.exit is not None and (seen.exit.exit_code, seen.exit.reason) == (137, "DeadlineExceeded")
    assert log(cluster, "one") == b"never\n"


def test_a_pod_may_save_and_leave_at_sigterm(cluster: Cluster) -> None:
    pod(cluster)
    cluster.kubelet.heed("one", 0, "saved")
    cluster.api().delete(f"{PODS}/one")
    deleted = cluster.kubelet.pod("one")
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 30
    cluster.step()
    assert not cluster.kubelet.pods()


def log(cluster: Cluster, name: str, **query: str) -> bytes:
    return b"".join(cluster.api().stream(f"{PODS}/{name}/log", query, 1.0))


def test_how_pods_end_is_read_as_the_operator_reads_it(cluster: Cluster) -> None:
    for name in ("memory", "evicted", "preempted", "good"):
        pod(cluster, name)
    cluster.kubelet.run_out_of_memory("memory")
    cluster.kubelet.evict("evicted")
    cluster.kubelet.disrupt("preempted", "PreemptionByScheduler")
    cluster.kubelet.exit("preempted", 143)
    cluster.kubelet.exit("good", message="loss=1")
    seen = {p["metadata"]["name"]: view(p) for p in cluster.kubelet.pods()}
    told = {name: v.exit.reason for name, v in seen.items() if v.exit is not None}
    assert told == {
        "memory": "OOMKilled",
        "evicted": "TerminationByKubelet",
        "preempted": "PreemptionByScheduler",
        "good": None,
    }
    assert seen["good"].last_word == "loss=1"


def test_why_a_pod_waits_is_seen(cluster: Cluster) -> None:
    cluster.api().create(PODS, {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "trial"}]}})
    assert log(cluster, "one") == b""
    cluster.kubelet.find_no_node("one")
    assert "Unschedulable" in str(view(cluster.kubelet.pod("one")).waiting)
    cluster.kubelet.schedule("one")
    cluster.kubelet.hold_up("one", "ImagePullBackOff", "no such image")
    assert view(cluster.kubelet.pod("one")).obstacle
    with pytest.raises(Refused) as caught:
        log(cluster, "one")
    assert caught.value.code == 400


def test_a_log_is_followed_to_its_end(cluster: Cluster) -> None:
    pod(cluster)
    cluster.kubelet.print("one", "first")
    pieces = cluster.api().stream(f"{PODS}/one/log", {"follow": "true"}, 1.0)
    assert next(pieces) == b"first\n"
    cluster.kubelet.print("one", "second")
    cluster.kubelet.write("one", b"last word")
    cluster.kubelet.exit("one")
    assert list(pieces) == [b"second\n", b"last word"]


def test_a_rotated_log_begins_later(cluster: Cluster) -> None:
    pod(cluster)
    cluster.kubelet.print("one", "old")
    cluster.kubelet.rotate("one")
    cluster.kubelet.print("one", "new")
    assert log(cluster, "one") == b"new\n"


def test_a_namespace_takes_everything_along_and_lets_nothing_in(cluster: Cluster) -> None:
    pod(cluster)
    made(cluster, "a")
    cluster.api().delete(f"/api/v1/namespaces/{NAMESPACE}")
    with pytest.raises(Refused) as caught:
        made(cluster, "b")
    assert caught.value.code == 403 and "being terminated" in caught.value.message
    cluster.step()
    cluster.advance(1)
    with pytest.raises(Refused):
        cluster.api().get(f"/api/v1/namespaces/{NAMESPACE}")


def test_another_field_manager_is_asked_before_its_fields_are_taken(cluster: Cluster) -> None:
    path = f"{collection('experiments', NAMESPACE)}/small"
    cluster.api().apply(path, experiment(), "me")
    other = experiment() | {"spec": {**experiment()["spec"], "maxTrialCount": 9}}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    answer = cluster.server.handle("PATCH", path, {"fieldManager": "you"}, json.dumps(other).encode(), headers)
    assert answer.status == 409 and isinstance(answer.body, bytes) and b".spec.maxTrialCount" in answer.body


def test_an_admission_keeps_objects_out_with_its_words(cluster: Cluster) -> None:
    def never(resource: Any, obj: Mapping[str, Any]) -> None:
        raise forbidden(resource, obj["metadata"]["name"], "violates PodSecurity")

    cluster.server.writes.admissions.append(never)
    with pytest.raises(Refused, match="violates PodSecurity"):
        pod(cluster)


def test_the_same_seed_gives_the_same_cluster_and_it_has_no_threads() -> None:
    before = threading.active_count()
    bodies = []
    for seed in (1, 1, 2):
        cluster = Cluster(seed)
        made(cluster, "a")
        body = cluster.server.handle("GET", MAPS, {}, b"", {}).body
        assert not isinstance(body, Stream)
        bodies.append(body)
    assert bodies[0] == bodies[1] != bodies[2] and threading.active_count() == before
