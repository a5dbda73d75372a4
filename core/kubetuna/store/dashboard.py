"""Optuna Dashboard over a store; as ``python3 -m kubetuna.store.dashboard`` what its container runs.

It makes no tables, so a database role that may only read is enough: what a page then tries to write, a note say,
the database refuses.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from kubetuna.errors import StoreError, from_extra
from kubetuna.store.database import open_engine, parse_url
from kubetuna.store.schema import check_schema

RETRY_SECONDS = 2.0


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request: a large study must not hold up the probe."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A page asks every few seconds; that is no news."""


def listen(url: str, host: str, port: int) -> WSGIServer:
    """A server over a store with tables, bound; ``serve_forever`` is the caller's.

    Raises:
        BackendMissing: optuna-dashboard is not installed.
        OSError: the address cannot be used.
    """
    from optuna.storages import RDBStorage

    with from_extra("dashboard", "the dashboard"):
        from optuna_dashboard import wsgi

    # A database that was restarted has closed what the pool holds: ask each connection before its use.
    checked: dict[str, Any] = {"pool_pre_ping": True}
    text = parse_url(url).render_as_string(hide_password=False)
    storage = RDBStorage(text, engine_kwargs=checked, skip_table_creation=True)
    return make_server(host, port, wsgi(storage), server_class=_Server, handler_class=_Quiet)


def wait_for_store(url: str) -> None:
    """Return once the operator has made the tables; say meanwhile what is missing, on standard error."""
    engine = open_engine(url)
    while True:
        try:
            check_schema(engine)
            return
        except StoreError as error:
            print(f"waiting: {error}", file=sys.stderr, flush=True)
            time.sleep(RETRY_SECONDS)


def main() -> None:
    """Serve KUBETUNA_STORE on port 8080 of every address of the container."""
    url = os.environ.get("KUBETUNA_STORE", "")
    if not url:
        sys.exit("KUBETUNA_STORE must hold the database's URL, such as postgresql+psycopg2://user@host/db")
    # As a container's first process it would not hear SIGTERM otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wait_for_store(url)
    print("Optuna Dashboard: port 8080", file=sys.stderr, flush=True)
    listen(url, "0.0.0.0", 8080).serve_forever()


if __name__ == "__main__":
    main()
