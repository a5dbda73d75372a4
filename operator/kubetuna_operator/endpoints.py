"""``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kubetuna_operator.health import Report
from kubetuna_operator.kube.threads import supervised


def serve(address: tuple[str, int], checks: Mapping[str, Callable[[], Report]]) -> ThreadingHTTPServer:
    """Serve in a thread until ``shutdown`` is called on what is returned."""

    class Handler(BaseHTTPRequestHandler):
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

    server = ThreadingHTTPServer(address, Handler)
    supervised("endpoints", server.serve_forever).start()
    return server
