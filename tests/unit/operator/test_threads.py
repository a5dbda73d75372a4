"""The operator's threads: one that dies takes the process along, and health tells of one that hangs."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import kubetuna_operator
from kubetuna_operator.endpoints import serve
from kubetuna_operator.health import Report, Sign, alive
from kubetuna_operator.kube import threads
from kubetuna_operator.kube.api_client import Api, Unreachable
from kubetuna_operator.kube.leader import Leadership
from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.kube.work_queue import WorkQueue, wait_after

SOURCES = Path(kubetuna_operator.__file__).parent


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the process would have ended."""
    found: list[str] = []
    monkeypatch.setattr(threads, "end_process", found.append)
    return found


@pytest.mark.parametrize("error", [KeyError("spec"), SystemExit(0), OverflowError()])
def test_a_thread_that_dies_ends_the_process(ends: list[str], error: BaseException) -> None:
    def die() -> None:
        raise error

    thread = supervised("lease", die)
    thread.start()
    thread.join(10)
    assert len(ends) == 1 and "lease" in ends[0]


def test_a_thread_that_has_done_its_duty_ends_alone(ends: list[str]) -> None:
    done: list[int] = []
    thread = supervised("watch", done.append, 1)
    thread.start()
    thread.join(10)
    assert done == [1] and not ends


def test_the_process_ends_with_1_and_says_why_although_another_thread_hangs() -> None:
    program = (
        "import threading; from kubetuna_operator.kube.threads import supervised\n"
        "supervised('lease', lambda: {}['spec']).start(); threading.Event().wait()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "lease" in ended.stderr and "KeyError" in ended.stderr


def test_no_thread_is_started_elsewhere() -> None:
    raw = re.compile(r"\b(Thread|Timer)\(|\bstart_new_thread\b")
    assert {path.name for path in SOURCES.rglob("*.py") if raw.search(path.read_text())} == {"threads.py"}


def test_no_pause_for_garbage_holds_up_the_threads_while_a_sampler_is_loaded() -> None:
    """Nothing runs while every object is looked through, which took 150 ms three times as PyTorch was imported."""
    program = (
        "import gc, optuna, kubetuna_operator.__main__\n"
        "from kubetuna_operator.kube.threads import share_fairly\n"
        "share_fairly(); whole = []\n"
        "gc.callbacks.append(lambda phase, told: whole.append(1) if told['generation'] == 2 else None)\n"
        "import torch, scipy.optimize\n"
        "print(gc.get_freeze_count() > 100_000, len(whole), gc.isenabled())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.stdout.split() == ["True", "0", "True"], ended.stderr


class Odd(Api):
    """A server whose Lease has another shape than any that we know."""

    def __init__(self, lease: Any) -> None:
        self.lease = lease

    def within(self, seconds: float) -> Api:
        return self

    def get(self, path: str, **query: object) -> dict[str, Any]:
        if isinstance(self.lease, Exception):
            raise self.lease
        found: dict[str, Any] = self.lease
        return found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetuna_operator.kube.leader.RETRY", 0.0)


def test_a_lease_thread_that_dies_ends_the_process(
    ends: list[str], at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another operator leads beside us: nothing renews the Lease, and nothing notices."""
    over = threading.Event()

    def end(why: str) -> None:
        ends.append(why)
        over.set()

    def lost() -> None:
        raise RuntimeError("what follows a lost Lease failed")

    monkeypatch.setattr(threads, "end_process", end)
    ticks = count(100)
    Leadership(Odd(Unreachable("reset")), "lab", "a", lambda: float(next(ticks))).keep(lost)
    assert over.wait(10) and "lease" in ends[0]


def test_a_server_that_is_away_costs_the_lease_only_after_its_time(at_once: None) -> None:
    clock, lost = [100.0], threading.Event()

    def now() -> float:
        clock[0] += 1.0
        return clock[0]

    leadership = Leadership(Odd(Unreachable("reset")), "lab", "a", now)
    leadership.keep(lost.set)
    assert lost.wait(10) and clock[0] > 110.0


def sign(name: str, silent: float) -> Sign:
    return Sign(name, lambda: silent, 60.0)


def test_health_names_what_is_silent() -> None:
    assert alive([sign("watches", 1.0), sign("lease", 59.0)]).good
    report = alive([sign("watches", 1.0), sign("lease", 61.0), sign("writers", 99.0)])
    assert not report.good and ["lease" in report.notes[0], "writers" in report.notes[1]] == [True, True]


def test_a_worker_that_hangs_is_seen_and_one_with_nothing_to_do_is_not() -> None:
    clock = [100.0]
    queue: WorkQueue[str] = WorkQueue("test", lambda: clock[0])
    assert queue.longest_work() == 0.0
    queue.add("a")
    assert queue.get() == "a"
    clock[0] += 40.0
    assert queue.longest_work() == 40.0
    queue.done("a")
    assert queue.longest_work() == 0.0


def test_the_lease_is_silent_while_its_requests_hang() -> None:
    clock = [100.0]
    leadership = Leadership(Odd(Unreachable("away")), "lab", "a", lambda: clock[0])
    clock[0] += 40.0
    assert leadership.silent() == 40.0
    leadership._try()
    assert leadership.silent() == 0.0


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_pages_say_what_is_wrong() -> None:
    checks = {
        "/healthz": lambda: Report(False, ("lease: silent for 1 min 1 s",)),
        "/readyz": lambda: Report(True, ("b",)),
    }
    server = serve(("127.0.0.1", 0), checks)
    port = server.server_address[1]
    assert page(port, "/healthz") == (503, "not yet\nlease: silent for 1 min 1 s\n")
    assert page(port, "/readyz") == (200, "ok\nb\n")
    assert page(port, "/other")[0] == 404
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("failures", [1, 2, 1_100, 10**9])
def test_waits_grow_to_their_bound_and_no_further(failures: int) -> None:
    """A failure that lasts for days must not become one of arithmetic."""
    assert wait_after(failures, 0.1, 60.0) == min(60.0, 0.1 * 2.0 ** (min(failures, 50) - 1))
