"""Attempts as processes of this machine, each under a supervisor of its own.

What an attempt was asked and how it ended lies in files, so a runner that starts after another has died sees
the same attempts: those that its predecessor's end took along are told as ``RunnerDied``. A supervisor that
is gone without a word is recognised by process number *and* start time, and what it left running is killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import grace_seconds
from kubetuna.local import supervisor
from kubetuna.local.command import Command, command_of, moved_folder
from kubetuna.local.folders import (
    EXIT,
    LOG,
    METRICS,
    REQUEST,
    STATE,
    attempt_folder,
    checkpoint_folder,
    known_attempts,
    metrics_path,
    read_json,
    write_json,
)
from kubetuna.local.slots import machine_cores, machine_devices, slots_of
from kubetuna.trials.attempts import GONE, AttemptFacts, AttemptKey, AttemptPhase, AttemptRequest, Clock, ExitFacts
from kubetuna.trials.environment import CHECKPOINT_DIR, METRICS_FILE, OUT
from kubetuna.trials.last_words import last_words

Render = Callable[[AttemptRequest], Mapping[str, Any]]

LOG_LIMIT = 256 * 1024 * 1024
# Of a log, in which a crash says why.
TAIL = 16 * 1024
LOOK_SECONDS = 0.05


class ProcessExecutor:
    """Processes of this machine, under ``root``. ``render`` fills in an attempt's template; it runs in ``home``."""

    def __init__(
        self,
        root: Path,
        spec: Experiment,
        render: Render,
        clock: Clock,
        log_limit: int = LOG_LIMIT,
        home: Path | None = None,
    ) -> None:
        self._root, self._spec, self._render, self._clock = root.absolute(), spec, render, clock
        self._log_limit, self._home = log_limit, home
        self._slots = slots_of(spec, machine_cores(), machine_devices())
        self._notes = {key: self._note(key) for key in known_attempts(self._root)}
        self._ended: dict[AttemptKey, AttemptFacts] = {}
        self._processes: dict[AttemptKey, subprocess.Popen[bytes]] = {}
        self._sizes: dict[AttemptKey, int] = {}
        self._host = socket.gethostname()

    def launch(self, request: AttemptRequest) -> None:
        """Start the attempt, or do nothing where exactly this one exists already."""
        known = self._notes.get(request.key)
        if known is not None and known.get("hash") == request.params_hash:
            return
        folder = attempt_folder(self._root, request.key)
        given = self._slots.free(self._taken())
        rendered = self._render(request)
        own = self._own_variables(folder, request)
        folders = self._spec.collector.folder, folder / METRICS
        moved = moved_folder(*folders) if folders[0] else str
        command = command_of(rendered, self._spec.template.primary_container, own, self._home, moved)
        note = {"hash": request.params_hash, "created": self._clock.now(), "devices": list(given)}
        write_json(folder / REQUEST, note)
        self._notes[request.key] = note
        self._start(request, folder, command, grace_seconds(rendered), given)

    def _own_variables(self, folder: Path, request: AttemptRequest) -> dict[str, str]:
        out, checkpoint = folder / "out", checkpoint_folder(self._root, request.key)
        for path in (out, checkpoint):
            path.mkdir(parents=True, exist_ok=True)
        return {
            **request.environment,
            **self._metrics(request.key),
            CHECKPOINT_DIR: str(checkpoint),
            OUT: str(out),
        }

    def _metrics(self, key: AttemptKey) -> dict[str, str]:
        """Where it writes its metrics, if it does not print them: a folder that is there, as a mount would be."""
        collector = self._spec.collector
        if not collector.folder:
            return {}
        (attempt_folder(self._root, key) / METRICS).mkdir(exist_ok=True)
        return {METRICS_FILE: str(metrics_path(self._root, key, collector))}

    def _start(
        self, request: AttemptRequest, folder: Path, command: Command, grace: float, given: tuple[str, ...]
    ) -> None:
        share = self._slots.environment(given, command.environment)
        work = {
            "folder": str(folder),
            "hash": request.params_hash,
            "argv": list(command.argv),
            "environment": {**command.environment, **share},
            "cwd": str(command.folder),
            "timeout": request.timeout,
            "grace": grace,
            "log_limit": self._log_limit,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes[request.key] = process
        assert process.stdin is not None and process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._say(process, json.dumps(work))

    def _say(self, process: subprocess.Popen[bytes], line: str) -> None:
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()

    def _taken(self) -> list[str]:
        return [
            device
            for key, note in self._notes.items()
            if key not in self._ended
            for device in note.get("devices", ())
        ]

    def stop(self, key: AttemptKey, why: str) -> None:
        """Ask the attempt to end. One that another runner started is ending already, with that runner."""
        process = self._processes.get(key)
        if process is not None:
            self._say(process, f"stop {why}")

    def delete(self, key: AttemptKey) -> None:
        """Forget an attempt; its log and output stay for people to read."""
        process = self._processes.get(key)
        if key in self._notes and key not in self._ended and self._facts(key).phase != "ended":
            self.stop(key, "Deleted")
            return
        folder = attempt_folder(self._root, key)
        for name in (REQUEST, STATE, EXIT):
            (folder / name).unlink(missing_ok=True)
        self._notes.pop(key, None)
        self._ended.pop(key, None)
        self._sizes.pop(key, None)
        if process is not None:
            _release(process)
            del self._processes[key]

    def gone(self, key: AttemptKey) -> ExitFacts | None:
        """What this machine does not know of is not there."""
        return GONE

    def observe(self) -> Sequence[AttemptFacts]:
        """All attempts that were requested here and not deleted."""
        return [self._ended.get(key) or self._facts(key) for key in self._notes]

    def absent(self, key: AttemptKey) -> bool:
        """Likewise."""
        return True

    def headless(self) -> tuple[AttemptKey, ...]:
        """An attempt is one process."""
        return ()

    def unfinished(self) -> None:
        """A process starts at once, or never."""

    def capacity(self) -> int:
        """The slots of this machine."""
        return self._slots.count

    def _note(self, key: AttemptKey) -> dict[str, Any]:
        return read_json(attempt_folder(self._root, key) / REQUEST) or {}

    def _facts(self, key: AttemptKey) -> AttemptFacts:
        folder = attempt_folder(self._root, key)
        # Asked before the files are read: a supervisor writes them first and ends then.
        alive = self._alive(key, folder)
        state, end = read_json(folder / STATE) or {}, read_json(folder / EXIT)
        if end is None and not alive:
            end = self._abandoned(folder)
        phase: AttemptPhase = "ended" if end else "running" if "started" in state else "pending"
        facts = AttemptFacts(
            key,
            phase,
            created=float(self._notes[key].get("created", 0.0)),
            started=state.get("started"),
            ended=end["ended"] if end else None,
            exit=_exit_facts(end, folder) if end else None,
            node=self._host,
            stopping="stopping" in state,
        )
        if end:
            self._ended[key] = facts
        return facts

    def _alive(self, key: AttemptKey, folder: Path) -> bool:
        process = self._processes.get(key)
        if process is not None:
            return process.poll() is None
        state = read_json(folder / STATE)
        return state is not None and supervisor.start_time(state["pid"]) == state["start"] is not None

    def _abandoned(self, folder: Path) -> dict[str, Any] | None:
        """The end of an attempt whose supervisor is gone without a word, once nothing of it is left running."""
        if kill_leftovers(folder):
            return None
        message = "the process that watched over it is gone"
        end = {"exit_code": None, "reason": "RunnerDied", "message": message, "ended": self._clock.now()}
        write_json(folder / EXIT, end)
        return end

    def wait(self, seconds: float) -> None:
        """Sleep until an attempt starts, ends or prints, at most this long."""
        until = time.monotonic() + seconds
        pipes = {p.stdout: key for key, p in self._processes.items() if p.stdout and key not in self._ended}
        foreign = any(key not in self._processes and key not in self._ended for key in self._notes)
        while not self._grown():
            left = until - time.monotonic()
            if left <= 0:
                return
            ready, _, _ = select.select(list(pipes), [], [], min(left, LOOK_SECONDS))
            if ready or foreign:
                for pipe in ready:
                    pipe.read()
                return

    def _grown(self) -> bool:
        grown = False
        for key in self._notes:
            if key not in self._ended:
                folder = attempt_folder(self._root, key)
                size = sum(map(_size, (folder / LOG, *(folder / METRICS).rglob("*"))))
                grown = grown or size != self._sizes.get(key, 0)
                self._sizes[key] = size
        return grown

    def close(self) -> None:
        """End every attempt that still runs and wait for it, so that nothing outlives the runner."""
        for key in self._processes:
            self.stop(key, "Interrupted")
        for process in self._processes.values():
            assert process.stdin is not None
            try:
                # It ends by itself: the supervisor kills what ignores its grace period.
                process.wait()
            finally:
                _release(process)


def _release(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()


def _exit_facts(end: Mapping[str, Any], folder: Path) -> ExitFacts:
    crashed = end.get("reason") is None and end.get("exit_code") not in (0, None)
    message = end.get("message") or (last_words(_tail(folder / LOG)) if crashed else "")
    return ExitFacts(end.get("exit_code"), end.get("signal"), end.get("reason"), message)


def _tail(log: Path) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, _size(log) - TAIL))
        return file.read(TAIL).decode("utf-8", "replace")
    return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def kill_leftovers(folder: Path) -> int:
    """Kill every process that was started for an attempt, known by the folder in its environment.

    Returns how many there were: none is left once that is 0, for a killed process takes a while to go.
    """
    mark, found = f"{OUT}={folder / 'out'}".encode(), 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found += 1
                os.kill(int(path.parent.name), signal.SIGKILL)
    return found
