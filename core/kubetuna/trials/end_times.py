"""When attempts ended: as their place tells it, or else when their end was first seen.

A place often knows that an attempt has ended and not when: a Pod that the kubelet refused has no time of its end,
and one that is gone says nothing at all. The present must not stand in for that time: it moves on at every look, so
what waits for a while after the end (``kubetuna.planning.plan``) would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace

from kubetuna.trials.attempts import AttemptFacts, AttemptKey, Clock


class EndTimes:
    """The first moments at which ends without a time were seen; of each attempt those of its present object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: dict[AttemptKey, tuple[str | None, float]] = {}

    def dated(self, facts: AttemptFacts) -> AttemptFacts:
        """The same facts, an end with its time. An attempt that goes on after all will end anew."""
        if facts.phase != "ended" or facts.ended is not None:
            if self._first:
                self._first.pop(facts.key, None)
            return facts
        uid, first = self._first.get(facts.key, (facts.uid, None))
        if first is None or uid != facts.uid:
            first = self._clock.now()
            self._first[facts.key] = (facts.uid, first)
        return replace(facts, ended=first)

    def first_seen(self, key: AttemptKey) -> float | None:
        """When the end of this attempt was first seen, where it has no time of its own."""
        return self._first[key][1] if key in self._first else None

    def keep(self, keys: Callable[[], Container[AttemptKey]]) -> None:
        """Forget all attempts but these."""
        if self._first:
            kept = keys()
            self._first = {key: first for key, first in self._first.items() if key in kept}
