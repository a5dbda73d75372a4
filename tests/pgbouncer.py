"""PgBouncer in transaction mode, in front of a server of the tests: installed if need be, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2
from sqlalchemy.engine import make_url

from tests.packages import installed
from tests.postgres_server import free_port

BINARY = "/usr/sbin/pgbouncer"
PATIENCE = 20.0


class Pgbouncer:
    """A pooler with few connections to the server for all of its clients. ``ignores``: drops settings unread."""

    def __init__(self, url: str, ignores: bool) -> None:
        if not Path(BINARY).exists() and not installed("pgbouncer"):
            raise RuntimeError("the tests need PgBouncer (Debian: apt-get install pgbouncer)")
        behind, self.port = make_url(url), free_port()
        self.url = behind.set(port=self.port).render_as_string(hide_password=False)
        self._folder = Path(tempfile.mkdtemp(prefix="kubetuna-pgbouncer-"))
        as_postgres = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
            as_postgres = ["runuser", "-u", "postgres", "--"]
        lines = [
            "[databases]",
            f"* = host=127.0.0.1 port={behind.port} user={behind.username}",
            "[pgbouncer]",
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =",
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 5",
            f"ignore_startup_parameters = {'options' if ignores else 'extra_float_digits'}",
        ]
        (self._folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        command = [*as_postgres, BINARY, "-q", str(self._folder / "pgbouncer.ini")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._await(time.monotonic() + PATIENCE)

    def _await(self, deadline: float) -> None:
        while True:
            try:
                psycopg2.connect(make_url(self.url).set(drivername="postgresql").render_as_string()).close()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise

    def __enter__(self) -> Pgbouncer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)
