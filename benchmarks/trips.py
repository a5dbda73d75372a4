"""Counting round trips: a relay between a client and its server that notes each turnaround."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(slots=True)
class Trips:
    """How often the client spoke again after the server had; where it can be reached."""

    port: int
    count: int = 0


@contextmanager
def counted(server_port: int) -> Iterator[Trips]:
    """Relay connections to a port of this machine, counting their turnarounds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        trips = Trips(listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, server_port, trips), daemon=True).start()
        yield trips


def _accept(listener: socket.socket, server_port: int, trips: Trips) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", server_port))
            turn = _Turn(trips)
            threading.Thread(target=_relay, args=(client, server, turn.asked), daemon=True).start()
            threading.Thread(target=_relay, args=(server, client, turn.answered), daemon=True).start()


class _Turn:
    """Whose turn it is on one connection."""

    def __init__(self, trips: Trips) -> None:
        self._trips, self._open = trips, False

    def asked(self) -> None:
        if not self._open:
            self._trips.count += 1
        self._open = True

    def answered(self) -> None:
        self._open = False


def _relay(source: socket.socket, target: socket.socket, moved: Callable[[], None]) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            moved()
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.close()
