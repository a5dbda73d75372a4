"""Writes that nobody waits for: Pods that were told, statuses, Events, Trial objects; and looks for warnings.

Each kind has a queue and threads of its own, so that none of them waits for another, and all have budgets of their
own, so that they never stand between a trial's end and the next Pod. Of one key only the latest write counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Literal

from kubetuna_operator.kube.work_queue import WorkQueue

# What a key begins with, in the order of what matters; and how many threads each kind has.
Kind = Literal["pod", "status", "event", "trials", "warning"]
WORKERS: dict[Kind, int] = {"pod": 2, "status": 2, "event": 1, "trials": 1, "warning": 1}

Write = Callable[[], object]


class DeferredWrites:
    """Carries out writes, each key's latest, again and later where one fails. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._queues: dict[Kind, WorkQueue[Hashable]] = {
            kind: WorkQueue(f"{kind}-writes", clock) for kind in WORKERS
        }
        self._writes: dict[Hashable, Write] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin, in threads."""
        for kind, queue in self._queues.items():
            queue.work(self._write, WORKERS[kind])

    def step(self) -> bool:
        """Carry out the next write that is due, as a thread does; False where there is none."""
        return any(queue.step(self._write) for queue in self._queues.values())

    def due(self) -> float | None:
        """Seconds until there is a write to carry out; None where none waits."""
        waits = [queue.due() for queue in self._queues.values()]
        return min((wait for wait in waits if wait is not None), default=None)

    def close(self) -> None:
        """Let every thread go."""
        for queue in self._queues.values():
            queue.close()

    def hanging(self) -> float:
        """For how many seconds the oldest write has been under way."""
        return max(queue.longest_work() for queue in self._queues.values())

    def later(self, key: tuple[Kind, *tuple[Hashable, ...]], write: Write, delay: float = 0.0) -> None:
        """Do this after ``delay`` seconds, in place of what the key stood for before. It begins with its kind."""
        with self._lock:
            self._writes[key] = write
        self._queues[key[0]].add(key, delay)

    def repeat(self, key: tuple[Kind, *tuple[Hashable, ...]], write: Write, delay: float) -> None:
        """Do this once more after ``delay`` seconds, unless the key was given something else to do meanwhile."""
        with self._lock:
            if key in self._writes:
                return
            self._writes[key] = write
        self._queues[key[0]].add(key, delay)

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
