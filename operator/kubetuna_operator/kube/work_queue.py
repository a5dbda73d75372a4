"""A queue of keys: each at most once in it and at most once in work, failures waiting longer each time.

What is added while it is being worked on is worked on once more afterwards, so nothing is missed and nothing is
done twice at once. ``step`` does what is due and never waits; the threads of ``work`` are a shell around it. The
metrics carry client-go's names.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.telemetry import QUEUE_ADDS, QUEUE_DEPTH, QUEUE_RETRIES, QUEUE_WAIT, QUEUE_WORK, RECONCILED

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
FIRST_WAIT, LONGEST_WAIT = 0.1, 60.0
# Beyond this every wait is at its bound, and the power would outgrow a float.
MOST_DOUBLINGS = 30


class WorkQueue(Generic[K]):
    """Keys to work on. ``clock`` gives monotonic seconds. Of one ``group`` at most ``most`` are in work at once."""

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        group: Callable[[K], Hashable] = lambda key: key,
        most: int = 1,
    ) -> None:
        self.name, self._clock, self._group, self._most = name, clock, group, most
        self._adds, self._depth = QUEUE_ADDS.labels(name), QUEUE_DEPTH.labels(name)
        self._waited, self._worked = QUEUE_WAIT.labels(name), QUEUE_WORK.labels(name)
        self._condition = threading.Condition()
        self._ready: dict[K, float] = {}
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._working: dict[K, float] = {}
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._order = itertools.count()
        self._closed = False

    def add(self, key: K, delay: float = 0.0) -> None:
        """Put a key in, after ``delay`` seconds; where it waits already the earlier moment counts."""
        with self._condition:
            self._adds.inc()
            if delay > 0:
                self._wait_until(key, self._clock() + delay)
            else:
                self._put(key)
            self._condition.notify()

    def _put(self, key: K) -> None:
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
        else:
            self._ready.setdefault(key, self._clock())
        self._depth.set(len(self._ready))

    def _wait_until(self, key: K, due: float) -> None:
        if key not in self._ready and due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._later, (due, next(self._order), key))

    def get(self) -> K | None:
        """The next key, waited for; None once the queue is closed."""
        with self._condition:
            while not self._closed:
                if (key := self.take()) is not None:
                    return key
                self._condition.wait(self.due())
            return None

    def take(self) -> K | None:
        """The next key that is due, to be given back with ``done``; None where there is none."""
        with self._condition:
            self._promote()
            key = self._next()
            if key is None:
                return None
            now = self._clock()
            self._waited.observe(now - self._ready.pop(key))
            self._depth.set(len(self._ready))
            self._working[key] = now
            return key

    def due(self) -> float | None:
        """Seconds until there is a key to take; None where none waits."""
        if not (self._ready or self._later):
            return None
        with self._condition:
            wait = self._promote()
            return wait if self._next() is None else 0.0

    def _next(self) -> K | None:
        """The first that is ready and whose group may have another one in work."""
        if not self._ready:
            return None
        busy = Counter(map(self._group, self._working))
        return next((key for key in self._ready if busy[self._group(key)] < self._most), None)

    def _promote(self) -> float | None:
        """Make ready what is due; seconds until the next one is."""
        now = self._clock()
        while self._later:
            due, _, key = self._later[0]
            if due > now:
                return due - now
            heapq.heappop(self._later)
            if self._due.get(key) == due:
                self._put(key)
        return None

    def done(self, key: K, failed: bool = False) -> None:
        """End the work on a key. A failed one comes again, each time later."""
        with self._condition:
            self._working.pop(key, None)
            if failed:
                count = self._failures[key] = self._failures.get(key, 0) + 1
                QUEUE_RETRIES.labels(self.name).inc()
                self._wait_until(key, self._clock() + wait_after(count, FIRST_WAIT, LONGEST_WAIT))
            else:
                self._failures.pop(key, None)
            if key in self._again:
                self._again.discard(key)
                self._put(key)
            self._condition.notify()

    def longest_work(self) -> float:
        """For how many seconds the oldest work has been under way; 0 where there is none."""
        with self._condition:
            return self._clock() - min(self._working.values()) if self._working else 0.0

    def close(self) -> None:
        """Let every worker go."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def work(self, handle: Callable[[K], None], workers: int) -> list[threading.Thread]:
        """Work in threads until the queue is closed: ``handle`` raises to be called again later."""
        threads = [supervised(f"{self.name}-{number}", self._work, handle) for number in range(workers)]
        for thread in threads:
            thread.start()
        return threads

    def _work(self, handle: Callable[[K], None]) -> None:
        while (key := self.get()) is not None:
            self._do(key, handle)

    def step(self, handle: Callable[[K], None]) -> bool:
        """Work on the next key that is due, as a worker does; False where there is none."""
        key = self.take()
        if key is not None:
            self._do(key, handle)
        return key is not None

    def _do(self, key: K, handle: Callable[[K], None]) -> None:
        began = self._clock()
        try:
            handle(key)
            failed = False
        except Exception as error:
            failed = True
            log.warning("%s %s: %s; it is tried again", self.name, key, error)
        self._worked.observe(self._clock() - began)
        RECONCILED.labels(self.name, "error" if failed else "success").inc()
        self.done(key, failed)


def wait_after(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after this many failures in a row, from 1 on: twice as long each time, up to a bound."""
    return min(longest, first * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
