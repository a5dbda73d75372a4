"""Daemons: started once, known again by pid and start time, started anew when what they were started with changed.

A pid alone may belong to somebody else tomorrow; pid and start time together do not.
The fingerprint covers the command line, the configuration files and the room, so that a second `up` leaves a
healthy daemon alone and repairs the others.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster import cgroups
from hack.cluster.commands import run
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

STOP_WITHIN = 10.0
# The shell joins the cgroup first and then becomes the daemon's parent for the moment it takes to print the pid.
LAUNCH = 'echo $$ > "$1" && log="$2" && shift 2 && { setsid "$@" </dev/null >>"$log" 2>&1 & echo $!; }'


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that runs until it is stopped."""

    name: str
    argv: Sequence[str]
    files: Sequence[Path] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """What a pid file says."""

    pid: int
    started: str
    fingerprint: str


def ensure(layout: Layout, daemon: Daemon, entry: Sequence[str] = (), room: str = "") -> bool:
    """Start a daemon unless the same one runs; return whether it was started.

    Args:
        layout: the cluster.
        daemon: what to run.
        entry: the command line that enters the node's room, put before the daemon's own.
        room: tells this room from an earlier one, whose daemons must not be reused.
    """
    fingerprint = _fingerprint(daemon, room)
    record = read_record(layout, daemon.name)
    if record and is_alive(record) and record.fingerprint == fingerprint:
        return False
    stop(layout, daemon.name)
    _launch(layout, daemon, entry, fingerprint)
    return True


def _fingerprint(daemon: Daemon, room: str) -> str:
    digest = hashlib.sha256(json.dumps([room, list(daemon.argv), daemon.env]).encode())
    for file in daemon.files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _launch(layout: Layout, daemon: Daemon, entry: Sequence[str], fingerprint: str) -> None:
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.pids.mkdir(parents=True, exist_ok=True)
    group = cgroups.daemon_group(layout) / "cgroup.procs"
    shell = ["sh", "-c", LAUNCH, "sh", str(group), str(log_file(layout, daemon.name))]
    pid = int(run([*shell, *entry, *daemon.argv], env=daemon.env))
    record = {"pid": pid, "started": start_time(pid), "fingerprint": fingerprint}
    _pid_file(layout, daemon.name).write_text(json.dumps(record))


def stop(layout: Layout, name: str, sig: int = signal.SIGTERM) -> bool:
    """End a daemon, by force where it takes too long; return whether it ran."""
    record = read_record(layout, name)
    if record is None or not is_alive(record):
        return False
    os.kill(record.pid, sig)
    if not _ended_within(record, STOP_WITHIN):
        os.kill(record.pid, signal.SIGKILL)
        _ended_within(record, STOP_WITHIN)
    _pid_file(layout, name).unlink(missing_ok=True)
    return True


def _ended_within(record: Record, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(record):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def read_record(layout: Layout, name: str) -> Record | None:
    try:
        return Record(**json.loads(_pid_file(layout, name).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def is_alive(record: Record) -> bool:
    return bool(record.started) and start_time(record.pid) == record.started


def start_time(pid: int) -> str:
    """Return the kernel's start time of a process, empty where there is none or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def log_file(layout: Layout, name: str) -> Path:
    return layout.logs / f"{name}.log"


def _pid_file(layout: Layout, name: str) -> Path:
    return layout.pids / f"{name}.json"


def require_alive(layout: Layout, name: str) -> None:
    """Raise ClusterError with the end of the log where a daemon has gone."""
    record = read_record(layout, name)
    if record is None or not is_alive(record):
        lines = log_file(layout, name).read_text(errors="replace").splitlines()[-8:]
        raise ClusterError(f"{name} has ended; the end of {log_file(layout, name)}:\n" + "\n".join(lines))
