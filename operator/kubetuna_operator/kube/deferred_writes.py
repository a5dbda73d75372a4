"""Writes that nobody waits for: statuses, Trial objects, Events, Pods that were told.

They have a queue and a budget of their own, so that they never stand between a trial's end and the next Pod. Of
one key only the latest write counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from kubetuna_operator.kube.work_queue import WorkQueue

WORKERS = 3

Write = Callable[[], None]


class DeferredWrites:
    """Carries out writes, each key's latest, again and later where one fails. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue: WorkQueue[Hashable] = WorkQueue("background", clock)
        self._writes: dict[Hashable, Write] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin, in threads."""
        self._queue.work(self._write, WORKERS)

    def step(self) -> bool:
        """Carry out the next write that is due, as a thread does; False where there is none."""
        return self._queue.step(self._write)

    def due(self) -> float | None:
        """Seconds until there is a write to carry out; None where none waits."""
        return self._queue.due()

    def close(self) -> None:
        """Let every thread go."""
        self._queue.close()

    def hanging(self) -> float:
        """For how many seconds the oldest write has been under way."""
        return self._queue.longest_work()

    def later(self, key: Hashable, write: Write, delay: float = 0.0) -> None:
        """Do this after ``delay`` seconds, in place of what the key stood for before."""
        with self._lock:
            self._writes[key] = write
        self._queue.add(key, delay)

    def _write(self, key: Hashable) -> None:
        with self._lock:
            write = self._writes.pop(key, None)
        if write is None:
            return
        try:
            write()
        except Exception:
            with self._lock:
                self._writes.setdefault(key, write)
            raise
