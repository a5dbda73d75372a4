"""A private PostgreSQL server for the tests: installed if need be, started here, gone afterwards.

PostgreSQL refuses to run as root, so there it is started as the user that its package made.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.packages import installed

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "max_connections": "60",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
}


def binaries() -> Path:
    """The folder with ``initdb`` and ``pg_ctl``; the Debian package is installed where it is missing."""
    found = _installed()
    if found is None and installed("postgresql"):
        found = _installed()
    if found is None:
        raise RuntimeError(
            "the tests need a PostgreSQL server: install one (Debian: apt-get install postgresql), "
            "or set KUBETUNA_TEST_POSTGRES to the URL of a server on which databases may be created"
        )
    return found


def _installed() -> Path | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: -float(p.parent.name))
    which = shutil.which("initdb")
    places += [Path(which).resolve().parent] if which else []
    return next((place for place in places if (place / "initdb").exists()), None)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PostgresServer:
    """A server in a folder of its own. It can be stopped and started again, as a restart mid-run needs.

    Only a ``durable`` one waits for its disk. One that ``follows`` another is its standby, for which every commit
    of the other waits.
    """

    def __init__(self, durable: bool = False, follows: PostgresServer | None = None) -> None:
        self._bin = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="kubetuna-postgres-"))
        self._data = self._folder / "data"
        self.port, self._killed = free_port(), False
        self._as: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
            self._as = ["runuser", "-u", "postgres", "--"]
        if follows is None:
            self._run([self._bin / "initdb", "-D", self._data, "-U", "kubetuna", "-A", "trust", "-E", "UTF8", "-N"])
        else:
            source = ["-h", "127.0.0.1", "-p", str(follows.port), "-U", "kubetuna"]
            self._run([self._bin / "pg_basebackup", *source, "-D", self._data, "-R", "-c", "fast"])
        lines = [f"{name} = '{value}'" for name, value in (SETTINGS if durable else FAST | SETTINGS).items()]
        lines += [f"port = {self.port}", f"unix_socket_directories = '{self._folder}'"]
        with (self._data / "postgresql.conf").open("a") as config:
            config.write("\n".join(lines) + "\n")
        self.start()
        if follows is not None:
            follows.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            follows.ask("SELECT pg_reload_conf()")

    def ask(self, statement: str) -> None:
        """Have one statement carried out."""
        self._run([self._bin / "psql", self.url("postgres").replace("+psycopg2", ""), "-c", statement])

    def kill(self) -> None:
        """End all of it at once, as a machine that loses its power."""
        os.killpg(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        self._killed = True

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run([self._bin / "pg_ctl", "-D", self._data, "-w", "promote"])

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._run([self._bin / "pg_ctl", "-D", self._data, "-l", self._folder / "log", "-w", "-t", "60", "start"])

    def stop(self, mode: str = "immediate") -> None:
        """Stop; ``immediate`` is what a crash would be."""
        self._run([self._bin / "pg_ctl", "-D", self._data, "-w", "-m", mode, "stop"])

    def close(self) -> None:
        """Stop and remove everything."""
        if not self._killed:
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The URL of one database."""
        return f"postgresql+psycopg2://kubetuna@127.0.0.1:{self.port}/{database}"

    def _run(self, command: Sequence[str | Path]) -> None:
        words = [*self._as, *map(str, command)]
        told = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", timeout=120)
        if told.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} failed: {told.stderr or told.stdout}")
