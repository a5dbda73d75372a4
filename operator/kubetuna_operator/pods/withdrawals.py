"""Launches that were taken back and not ordered again since, of all Experiments.

An earlier process, or a request without an answer, may have made what was taken back, or make it yet: it is looked
for at once, and again when no answer can come any more. By then the Experiment may have gone on in another run that
has ordered the same attempt again, under the same name: what is found then is that order's, and stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

from kubetuna.trials.attempts import AttemptKey
from kubetuna_operator.kube.api_client import ANSWER_SECONDS
from kubetuna_operator.kube.deferred_writes import DeferredWrites

# When it is looked for, in seconds from the withdrawal on.
LOOKS = (0.0, ANSWER_SECONDS * 2)

# Removes what is there of an attempt, if the call that it is given still says so once that was found.
Remove = Callable[[Callable[[], bool]], object]


class Withdrawals:
    """Known by the Experiment's UID and the attempt: they outlive the run that took the launch back."""

    def __init__(self, deferred: DeferredWrites) -> None:
        self._deferred, self._lock = deferred, threading.Lock()
        # What stands for the latest withdrawal of each.
        self._marks: dict[tuple[str, AttemptKey], object] = {}

    def add(self, owner: str, key: AttemptKey, remove: Remove) -> None:
        """Take one back; ``remove`` is called at every look, the looks for an earlier withdrawal are dropped."""
        mark = object()
        with self._lock:
            self._marks[owner, key] = mark

        def look(last: bool) -> None:
            remove(lambda: self._marks.get((owner, key)) is mark)
            if last:
                self._end(owner, key, mark)

        for delay in LOOKS:
            write = partial(look, delay == LOOKS[-1])
            self._deferred.later(("pod", "launch", owner, key, delay), write, delay)

    def end(self, owner: str, key: AttemptKey) -> None:
        """It is ordered again: what is there from now on has to stay."""
        with self._lock:
            self._marks.pop((owner, key), None)

    def seen(self, owner: str, keys: Iterable[AttemptKey]) -> None:
        """Pods of these were seen that run, or may yet: whoever saw them ends them where they are not wanted."""
        if self._marks:
            for key in keys:
                self.end(owner, key)

    def _end(self, owner: str, key: AttemptKey, mark: object) -> None:
        with self._lock:
            if self._marks.get((owner, key)) is mark:
                del self._marks[owner, key]

    def holds(self, owner: str, key: AttemptKey) -> bool:
        """Whether it was taken back, and may still be there."""
        return (owner, key) in self._marks
