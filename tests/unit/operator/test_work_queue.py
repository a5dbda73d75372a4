"""The work queue: each key once, nothing missed, failures later and later."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from kubetuna_operator.kube import api_client
from kubetuna_operator.kube.deferred_writes import WORKERS, DeferredWrites
from kubetuna_operator.kube.work_queue import FIRST_WAIT, LONGEST_WAIT, WorkQueue
from tests.apiserver.cluster import Cluster


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drained(queue: WorkQueue[str]) -> list[str]:
    """What can be worked on now."""
    found: list[str] = []
    while queue.step(found.append):
        pass
    return found


def test_a_key_is_there_once_however_often_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue("test")
    for key in ("a", "b", "a"):
        queue.add(key)
    assert drained(queue) == ["a", "b"]


def test_what_is_added_during_its_work_comes_once_more_and_never_twice_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue("test")
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert drained(queue) == ["a"]


def test_a_delayed_key_comes_in_its_time_and_an_earlier_moment_wins() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue("test", clock)
    queue.add("a", 5)
    queue.add("a", 2)
    queue.add("a", 9)
    assert drained(queue) == []
    clock.now += 2
    assert drained(queue) == ["a"]
    clock.now += 20
    assert drained(queue) == []


def test_a_failure_waits_longer_each_time_and_a_success_forgets_them() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue("test", clock)
    queue.add("a")
    waits = []
    for _ in range(12):
        assert queue.take() == "a"
        queue.done("a", failed=True)
        waits.append(queue.due() or 0.0)
        clock.now += waits[-1]
    assert [round(w, 6) for w in waits[:3]] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert round(max(waits), 6) == LONGEST_WAIT
    assert drained(queue) == ["a"]
    queue.add("a")
    assert queue.take() == "a"
    queue.done("a", failed=True)
    assert round(queue.due() or 0.0, 6) == FIRST_WAIT


def test_it_tells_when_there_is_something_to_do() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue("test", clock)
    assert queue.due() is None and queue.take() is None
    queue.add("a", 5)
    queue.add("b", 3)
    assert (queue.due(), queue.take()) == (3, None)
    clock.now += 3
    assert (queue.due(), queue.take(), queue.due()) == (0, "b", 2)
    queue.add("b")
    assert queue.due() == 2, "what is under way comes after its end"
    queue.done("b")
    assert queue.due() == 0


def test_of_one_group_only_so_many_are_in_work_and_others_pass_by() -> None:
    queue: WorkQueue[str] = WorkQueue("test", Clock(), lambda key: key[0], 2)
    for key in ("a1", "a2", "a3", "b1"):
        queue.add(key)
    assert [queue.take() for _ in range(4)] == ["a1", "a2", "b1", None]
    assert queue.due() is None, "nobody is to spin meanwhile"
    queue.done("a1")
    assert (queue.due(), queue.take()) == (0, "a3")


def test_a_step_does_what_a_worker_does() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue("test", clock)
    queue.add("a")

    def fail(key: str) -> None:
        raise ValueError(key)

    assert queue.step(fail) and queue.due() == pytest.approx(FIRST_WAIT)
    assert not queue.step(fail)


def test_workers_try_again_what_failed_and_end_with_the_queue() -> None:
    queue: WorkQueue[str] = WorkQueue("test")
    calls: list[str] = []
    over = threading.Event()

    def handle(key: str) -> None:
        calls.append(key)
        if len(calls) == 1:
            raise ValueError("not yet")
        over.set()

    queue.work(handle, 2)
    queue.add("a")
    assert over.wait(10)
    queue.close()
    assert calls == ["a", "a"] and queue.get() is None


def test_writes_are_carried_out_step_by_step_too() -> None:
    clock, seen = Clock(), list[str]()
    deferred = DeferredWrites(clock)
    deferred.later(("pod", "a"), lambda: seen.append("a"), 2.0)
    assert not deferred.step() and deferred.due() == 2.0
    clock.now += 2.0
    assert deferred.step() and seen == ["a"] and deferred.due() is None


def test_of_one_key_only_the_latest_write_counts_and_a_failed_one_is_kept() -> None:
    deferred, seen, over = DeferredWrites(), [], threading.Event()

    def fails_once() -> None:
        seen.append("second")
        if len(seen) == 1:
            raise OSError("away")
        over.set()

    deferred.later(("status", "a"), lambda: seen.append("first"))
    deferred.later(("status", "a"), fails_once)
    deferred.start()
    assert over.wait(10)
    assert seen == ["second", "second"]


def test_a_kind_of_write_that_hangs_holds_up_no_other() -> None:
    deferred, release = DeferredWrites(), threading.Event()
    done = {kind: threading.Event() for kind in WORKERS}
    for number in range(9):
        deferred.later(("trials", number), lambda: release.wait(10) and None)
    for kind in ("pod", "status", "event"):
        deferred.later((kind, 0), done[kind].set)
    deferred.start()
    assert all(done[kind].wait(5) for kind in ("pod", "status", "event"))
    release.set()
    deferred.close()


def test_each_kind_of_lazy_write_has_a_budget_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    cluster = Cluster()
    api, space = cluster.api(), "/api/v1/namespaces/trials"
    monkeypatch.setattr(api_client.TokenBucket, "take", lambda bucket: taken.append(bucket))
    for path in (
        f"{space}/pods/a",
        f"{space}/experiments/a/status",
        f"{space}/trials/a",
        f"{space}/events/a",
        space,
    ):
        with contextlib.suppress(api_client.Refused, api_client.Unreachable):
            api.merge(path, {}, low_priority=True)
        with contextlib.suppress(api_client.Refused, api_client.Unreachable):
            api.merge(path, {})
    lazy, urgent = taken[::2], taken[1::2]
    assert len(set(lazy[:4])) == 4 and lazy[4] is lazy[0] and len(set(urgent)) == 1 and urgent[0] not in lazy


@pytest.mark.parametrize("newer", [False, True], ids=["alone", "replaced meanwhile"])
def test_a_write_that_repeats_itself_does_not_replace_what_its_key_was_given_meanwhile(newer: bool) -> None:
    """A Pod is marked while it becomes one too many to keep: its deletion must not get lost."""
    deferred, done = DeferredWrites(), list[str]()

    def mark() -> None:
        done.append("mark")
        if newer:
            deferred.later(("pod", "1"), lambda: done.append("delete"))
        deferred.repeat(("pod", "1"), lambda: done.append("mark again"), 0.0)

    deferred.later(("pod", "1"), mark)
    while deferred.step():
        pass
    assert done == ["mark", "delete" if newer else "mark again"]
