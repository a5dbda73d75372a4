"""What listens on a port that anyone in the cluster may reach: bounded, whoever connects and says nothing."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from kubetuna_operator import endpoints
from kubetuna_operator.endpoints import CONNECTIONS, serve
from kubetuna_operator.health import Report


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(endpoints, "SILENCE_SECONDS", 2.0)
    server = serve(("127.0.0.1", 0), {"/healthz": lambda: Report(True, ("all is well",))})
    yield server
    server.shutdown()
    server.server_close()


def asked(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        return str(answer.read().decode())


def test_who_says_nothing_takes_a_bounded_number_of_threads_and_is_closed(server: ThreadingHTTPServer) -> None:
    port = server.server_address[1]
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(4 * CONNECTIONS)]
    assert asked(port) == "ok\nall is well\n", "the newest is heard at once"
    assert all(one.recv(1) == b"" for one in silent[: 3 * CONNECTIONS]), "the oldest gave their places up"
    assert len(vars(server)["_open"]) <= CONNECTIONS
    assert all(one.recv(1) == b"" for one in silent), "a silent one is closed after a while"
