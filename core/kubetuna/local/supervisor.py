"""One attempt's guardian: starts its command, ends everything that came of it, and writes down how it ended.

It is a program of its own (``python -I -S supervisor.py``), with nothing but the standard library, so that it
starts fast and outlives a runner that dies. Standard input is its lifeline: first the request, one line of JSON;
then ``stop REASON`` lines; its end means that the runner is gone. A byte on standard output says that
something changed. It is a subreaper (``prctl(2)``), so that what forked twice is still found and ended.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOOK_SECONDS = 0.5
# A runner that died cannot wait for its trials, and the next one does.
ORPHAN_GRACE_SECONDS = 5.0


def prctl(option: int, value: int) -> None:
    """Linux's process control; elsewhere nothing happens."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def start_time(pid: int) -> int | None:
    """A process's start in clock ticks since boot, which with its number names it for good; None if unknown."""
    with suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[19])
    return None


def processes() -> dict[int, int]:
    """Every process's number with its parent's."""
    if os.path.isdir("/proc/self"):
        found = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError, IndexError, ValueError), open(f"/proc/{name}/stat", "rb") as stat:
                found[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
        return found
    told = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    return {int(pid): int(parent) for pid, parent in (line.split() for line in told.splitlines())}


def descendants(root: int) -> set[int]:
    """Everything that stems from a process, itself left out."""
    parents = processes()
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        if not more:
            return found - {root}
        found |= more


def kernel_kills() -> int:
    """How often the kernel has killed for lack of memory in our control group; 0 where it does not say."""
    for path in _memory_events():
        with suppress(OSError, ValueError), open(path) as events:
            for line in events:
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0


def _memory_events() -> Iterator[str]:
    with suppress(OSError), open("/proc/self/cgroup") as groups:
        for line in groups:
            _, controllers, path = line.strip().split(":", 2)
            if not controllers:
                yield f"/sys/fs/cgroup{path}/memory.events"
            elif "memory" in controllers.split(","):
                yield f"/sys/fs/cgroup/memory{path}/memory.oom_control"
    yield "/sys/fs/cgroup/memory.events"
    yield "/sys/fs/cgroup/memory/memory.oom_control"


class Supervisor:
    """Follows one request from start to end."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.child: subprocess.Popen[bytes] | None = None
        self.status: int | None = None
        self.reason: str | None = None
        self.state: dict[str, Any] = {}
        self.message = ""
        self.kill_at: float | None = None
        self.killed = False
        self.buffer = b""
        self.alive = True
        self.wake, wake_end = os.pipe()
        for end in (self.wake, wake_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.end("Interrupted"))

    def run(self) -> None:
        """Start the command, follow it, and write how it ended."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        kills = kernel_kills()
        self.state = {"pid": os.getpid(), "start": start_time(os.getpid()), "hash": self.request["hash"]}
        self.write("state.json", self.state)
        if self.start():
            self.state["started"] = time.time()
            self.write("state.json", self.state)
            self.wake_runner()
            timeout = self.request["timeout"]
            self.follow(None if timeout is None else time.monotonic() + timeout)
            self.clear()
        self.finish(kernel_kills() > kills)

    def start(self) -> bool:
        """Start the command; False where the system refuses."""
        request = self.request
        if not request["argv"]:
            return self.refuse("the container names no command, and without its image there is none to run")
        log = os.open(os.path.join(request["folder"], "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self.child = subprocess.Popen(
                request["argv"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=request["cwd"],
                env=request["environment"],
                start_new_session=True,
                preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return self.refuse(self.explained(error))
        finally:
            os.close(log)
        return True

    def refuse(self, message: str) -> bool:
        """Note that nothing could be started."""
        self.reason, self.message = "StartError", message
        return False

    def explained(self, error: Exception) -> str:
        """Why a command could not be started, in words that name it."""
        name = self.request["argv"][0]
        if isinstance(error, FileNotFoundError):
            return f"the command {name!r} does not exist on this machine; its folder must be in PATH"
        if getattr(error, "errno", None) == errno.E2BIG:
            return f"the arguments and environment of {name!r} are too long for this machine"
        return f"the command {name!r} cannot be run: {error}"

    def follow(self, deadline: float | None) -> None:
        """Wait for the command's end; end it at its deadline, on request, or when the runner is gone."""
        while not self.reap():
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                self.end("DeadlineExceeded")
            if self.kill_at is not None and now >= self.kill_at:
                self.signal_all(signal.SIGKILL)
                self.killed = True
            self.check_log()
            self.show_end()
            moments = [now + LOOK_SECONDS, *(m for m in (deadline, self.kill_at) if m is not None and m > now)]
            self.listen(max(0.0, min(moments) - now))

    def listen(self, seconds: float) -> None:
        """Wait for a child's end, or for a word from the runner."""
        inputs = [self.wake, *([0] if self.alive else [])]
        ready, _, _ = select.select(inputs, [], [], seconds)
        if self.wake in ready:
            with suppress(BlockingIOError):
                os.read(self.wake, 4096)
        if 0 in ready:
            self.hear(os.read(0, 65536))

    def hear(self, data: bytes) -> None:
        """Act on what came from the runner; nothing at all means that it died."""
        if not data:
            self.alive = False
            self.end("RunnerDied", ORPHAN_GRACE_SECONDS)
            return
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            verb, _, reason = line.decode("utf-8", "replace").partition(" ")
            if verb == "stop":
                self.end(reason)

    def end(self, reason: str, most: float | None = None) -> None:
        """Ask everything to end now, and set the moment at which it is killed."""
        grace = self.request["grace"] if most is None else min(most, self.request["grace"])
        if self.reason is None:
            self.reason = reason
            self.signal_all(signal.SIGTERM)
        kill_at = time.monotonic() + grace
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)

    def show_end(self) -> None:
        """Show that the end is under way. Not called by a signal's handler, which may interrupt a write."""
        if self.reason is not None and "stopping" not in self.state:
            self.state["stopping"] = self.reason
            with suppress(OSError):
                self.write("state.json", self.state)

    def check_log(self) -> None:
        """End an attempt that prints without bound."""
        with suppress(OSError):
            if os.stat(os.path.join(self.request["folder"], "log")).st_size > self.request["log_limit"]:
                limit = self.request["log_limit"] >> 20
                self.message = self.message or f"it printed more than {limit} MiB"
                self.end("LogLimit", 0.0)

    def reap(self) -> bool:
        """Collect ended children; True once the command itself has ended."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if self.child is not None and pid == self.child.pid:
                    self.status = status
                    self.child.returncode = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def signal_all(self, number: int) -> None:
        """Send a signal to everything that the command started."""
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def clear(self) -> None:
        """Kill what the command left running: an attempt ends with its main process, as a container does."""
        while descendants(os.getpid()):
            self.signal_all(signal.SIGKILL)
            self.reap()
            select.select([self.wake], [], [], 0.02)
            with suppress(BlockingIOError):
                os.read(self.wake, 4096)

    def finish(self, kernel_killed: bool) -> None:
        """Write how it ended."""
        self.cut_log()
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        number = -code if code is not None and code < 0 else None
        if number == signal.SIGKILL and kernel_killed and not self.killed:
            self.reason = "OOMKilled"
        facts = {
            "exit_code": 128 + number if number is not None else code,
            "signal": number,
            "reason": self.reason,
            "message": self.message,
            "ended": time.time(),
        }
        self.write("exit.json", facts)
        self.wake_runner()

    def cut_log(self) -> None:
        """What was printed between two looks at the log's size is not kept either."""
        path = os.path.join(self.request["folder"], "log")
        with suppress(OSError):
            if os.stat(path).st_size > self.request["log_limit"]:
                os.truncate(path, self.request["log_limit"])

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Write a file of the attempt, whole or not at all."""
        path = os.path.join(self.request["folder"], name)
        part = f"{path}.part"
        with open(part, "w") as file:
            json.dump(value, file)
        os.replace(part, path)

    def wake_runner(self) -> None:
        """Wake the runner."""
        with suppress(OSError):
            os.write(1, b".")


def main() -> None:
    """Read the request; without a whole one the runner died before it mattered."""
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(0, 65536)
        if not more:
            return
        data += more
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Supervisor(json.loads(data)).run()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
