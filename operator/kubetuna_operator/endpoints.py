"""``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kubetuna_operator.health import Report
from kubetuna_operator.kube.threads import supervised

# How long a client may say nothing, and how many may be connected.
SILENCE_SECONDS, CONNECTIONS = 10.0, 16


class _Server(ThreadingHTTPServer):
    """A thread for each of so many clients; the newest, which may be a probe, takes the oldest's place."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread."""
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= CONNECTIONS else None
            self._open.pop(oldest, None)
            self._open[request] = None
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Give its place back."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)


def serve(address: tuple[str, int], checks: Mapping[str, Callable[[], Report]]) -> ThreadingHTTPServer:
    """Serve in a thread until ``shutdown`` is called on what is returned."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SILENCE_SECONDS

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path in checks:
                report = checks[self.path]()
                lines = ("ok" if report.good else "not yet", *report.notes)
                self._answer(200 if report.good else 503, "text/plain", "".join(f"{n}\n" for n in lines).encode())
            else:
                self._answer(404, "text/plain", b"/metrics, /healthz, /readyz\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes every few seconds are no news."""

    server = _Server(address, Handler)
    supervised("endpoints", server.serve_forever).start()
    return server
