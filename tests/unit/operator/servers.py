"""An API server on this machine that answers with bytes as they are given, whole or cut off."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes import client

from kubetuna_operator.kube.api_client import Api


def answer(status: str, body: bytes, *, length: int | None = None, head: str = "") -> bytes:
    """An HTTP answer; with a ``length`` beyond its body it is cut off where the body ends."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n{head}\r\n".encode() + body


@contextmanager
def served(reply: bytes) -> Iterator[Api]:
    """A connection to a server that gives every request the same reply, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, reply), daemon=True).start()
        configuration = client.Configuration()
        configuration.host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield Api(configuration)


def _serve(listener: socket.socket, reply: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65_536)
            connection.sendall(reply)
