"""Requests to an API server that answers badly: only the transport's own two errors ever come out."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
from kubernetes.config import ConfigException

from kubetuna_operator.experiment.run import _said as failed_turn_text
from kubetuna_operator.kube import api_client
from kubetuna_operator.kube.api_client import Api, Pace, Refused, Unreachable, collection, split_lines
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import no_such_pod_on_its_node
from tests.apiserver.pool import connect
from tests.apiserver.server import Response
from tests.unit.operator.servers import answer, served

Ask = Callable[[Api], Any]
ASKS: dict[str, Ask] = {
    "get": lambda api: api.get("/api/v1/pods"),
    "create": lambda api: api.create("/api/v1/pods", {}),
    "replace": lambda api: api.replace("/api/v1/pods/a", {}),
    "delete": lambda api: api.delete("/api/v1/pods/a"),
    "stream": lambda api: list(api.stream("/api/v1/pods", {"watch": "true"}, 5.0)),
}
BAD = {
    "an error that is cut off": answer("500 Internal Server Error", b'{"kind": "Sta', length=500),
    "a refusal that is cut off": answer("403 Forbidden", b'{"kind": "Sta', length=500),
    "an error that says gzip and is none": answer("502 Bad Gateway", b"plain", head="Content-Encoding: gzip\r\n"),
    "an answer that is cut off": answer("200 OK", b'{"items": [', length=500),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
def test_an_answer_that_cannot_be_read_whole_is_asked_for_again(ask: Ask, reply: bytes) -> None:
    with served(reply) as api, pytest.raises(Unreachable):
        ask(api)


@pytest.mark.parametrize("body", [b"<html>", b"null", b"[]", b"\xff"])
def test_an_answer_that_is_no_object_is_asked_for_again(body: bytes) -> None:
    """A proxy's page in place of the API server's answer, say."""
    with served(answer("200 OK", body)) as api, pytest.raises(Unreachable):
        api.get("/api/v1/pods")


@pytest.mark.parametrize("body", [b"[]", b"null", b"<html>", b'{"details": []}', b'{"details": {"causes": ["x"]}}'])
def test_a_refusal_in_any_shape_is_a_refusal(body: bytes) -> None:
    with served(answer("403 Forbidden", body)) as api, pytest.raises(Refused) as refused:
        api.get("/api/v1/pods")
    assert refused.value.code == 403


def test_a_conflict_over_a_deletion_is_told_unless_another_one_has_the_name() -> None:
    """Taken for done, it leaves a Pod that nobody looks at any more."""
    cluster, refused = Cluster(), list[str]()

    def handle(method: str, *asked: Any) -> Response:
        if method == "DELETE" and not refused:
            refused.append(method)
            body = {"code": 409, "reason": "Conflict", "message": "the object has been modified"}
            return Response(409, json.dumps(body).encode())
        return cluster.server.handle(method, *asked)

    api, path = cluster.api(handle), collection("configmaps", NAMESPACE)
    uid = api.create(path, {"metadata": {"name": "a"}})["metadata"]["uid"]
    with pytest.raises(Refused):
        api.delete(f"{path}/a", uid=uid)
    api.delete(f"{path}/a", uid="another's")
    assert api.has(f"{path}/a", uid) and not api.has(f"{path}/a", "another's")
    api.delete(f"{path}/a", uid=uid)
    assert not api.has(f"{path}/a", uid)


def test_a_token_that_cannot_be_read_just_now_is_asked_for_again() -> None:
    """The kubelet replaces the token's file while it is read."""

    def fail(configuration: object) -> None:
        raise ConfigException("Token file exists but empty.")

    with served(answer("200 OK", b"{}")) as api:
        api._client.configuration.api_key["BearerToken"] = "old"
        api._client.configuration.refresh_api_key_hook = fail
        with pytest.raises(Unreachable):
            api.get("/api/v1/pods")


def test_patience_is_per_connection_and_the_budget_of_writes_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Lease's requests end well within its duration, whatever others wait for."""
    asked: list[tuple[float, float]] = []

    def note(*_: object, _request_timeout: tuple[float, float]) -> None:
        asked.append(_request_timeout)
        raise OSError

    with served(b"") as api:
        quick = api.within(3.0)
        monkeypatch.setattr(api._client, "call_api", note)
        for one in (api, quick):
            with pytest.raises(Unreachable):
                one.get("/api/v1/pods")
    assert asked == [(api_client.CONNECT_SECONDS, api_client.ANSWER_SECONDS), (3.0, 3.0)]
    assert quick._writes is api._writes


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
def test_what_anyone_may_read_of_a_failed_request_is_no_address(reply: bytes) -> None:
    with served(reply) as api, pytest.raises(Unreachable) as broken:
        api.get("/api/v1/pods")
    absent = api_client.Unreachable("GET /api: HTTPSConnectionPool(host='10.96.0.1', port=443): refused")
    for error in (broken.value, absent):
        shown = json.dumps([error.public, failed_turn_text(error)])
        assert error.public in shown and "/api" not in shown and "10.96" not in shown


def test_a_request_that_the_server_asked_to_wait_with_is_not_sent_before() -> None:
    cluster, asked = Cluster(), list[str]()
    said = ["7"]

    def handle(method: str, path: str, *more: Any) -> Response:
        asked.append(path)
        if said and path == "/api/v1/pods":
            return Response(429, b'{"reason": "TooManyRequests"}', headers={"Retry-After": said[0]})
        return cluster.server.handle(method, path, *more)

    now = [100.0]
    api = connect(handle, cluster.server.wait, Pace(lambda: now[0], lambda seconds: None))

    def tries() -> int:
        with pytest.raises(Unreachable):
            api.within(1.0).get("/api/v1/pods")
        return asked.count("/api/v1/pods")

    assert tries() == 1 and tries() == 1
    assert api.get("/api/v1/namespaces"), "what else is asked for was not meant"
    now[0] += 7.1
    assert tries() == 2
    said[0] = "99999999999999999999"
    now[0] += 7.1
    assert tries() == 3
    now[0] += api_client.LONGEST_PAUSE + 1
    said.clear()
    assert api.get("/api/v1/pods")["items"] == []


@pytest.mark.parametrize("said", ["", "soon", "-1", "Thu, 26 Nov 2026 09:00:00 GMT", "1.5"])
def test_a_pause_that_is_no_number_of_seconds_is_none(said: str) -> None:
    with served(answer("503 Service Unavailable", b"{}", head=f"Retry-After: {said}\r\n")) as api:
        for _ in range(2):
            with pytest.raises(Unreachable) as error:
                api.get("/api/v1/pods")
            assert "503" in str(error.value)


POD = "/api/v1/namespaces/lab/pods/a"
NOT_FOUND = json.dumps({"reason": "NotFound", "message": 'pods "a" not found', "details": {"name": "a"}}).encode()


@pytest.mark.parametrize(
    "path", [POD, f"{POD}/log", "/apis/kubetuna.dev/v1alpha1/namespaces/lab/experiments/a/status"]
)
@pytest.mark.parametrize(
    "body",
    [
        b'{"reason": "NotFound", "details": {}}',
        b"404 page not found",
        b"<html>",
        b"[]",
        json.dumps(no_such_pod_on_its_node("a").body()).encode(),
    ],
)
def test_an_object_is_gone_only_where_the_answer_names_it(path: str, body: bytes) -> None:
    """A kind that is not served for a moment, and a proxy on the way, answer 404 too."""
    with served(answer("404 Not Found", body)) as api, pytest.raises(Unreachable):
        api.get(path)
    with served(answer("404 Not Found", NOT_FOUND)) as api, pytest.raises(Refused):
        api.get(path)


def test_a_collection_that_is_not_served_is_a_refusal() -> None:
    """As where the CRDs were never installed: someone has to be told."""
    with served(answer("404 Not Found", b"404 page not found")) as api, pytest.raises(Refused):
        api.get("/apis/kubetuna.dev/v1alpha1/experiments")


def test_a_stream_that_nobody_reads_is_closed() -> None:
    """A watch that took long to open is left before its first line; the server would keep it for half an hour."""
    cluster = Cluster()
    gc.disable()
    try:
        lines = split_lines(cluster.api().stream("/api/v1/namespaces", {"watch": "true"}, 5.0))
        (watch,) = cluster.server.watches
        assert not watch.closed
        del lines
        assert watch.closed
    finally:
        gc.enable()


@pytest.mark.parametrize("broken", [False, True], ids=["open", "broken"])
def test_a_stream_may_be_left_before_its_end_though_its_connection_is_gone(
    broken: bool, recwarn: pytest.WarningsRecorder
) -> None:
    cluster = Cluster()
    pieces = cluster.api().stream("/api/v1/namespaces", {"watch": "true"}, 5.0)
    assert isinstance(pieces, Generator)
    cluster.api().create("/api/v1/namespaces", {"metadata": {"name": "a"}})
    assert b"ADDED" in next(pieces)
    if broken:
        response = pieces.gi_frame.f_locals["response"]
        response._original_response.fp.close()
    pieces.close()
    assert not recwarn.list
