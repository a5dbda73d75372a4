"""All chance of a simulated world, from its seed.

What happens next is drawn from streams. Whether a fault befalls one moment is drawn from the moment's own name (its
site, and how often that was passed): so one fault can be left out of a run and most others still befall it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

SCALE = float(2**64)


class Moment(NamedTuple):
    """A place where a fault can happen, and which passing of it."""

    site: str
    count: int

    def __str__(self) -> str:
        return f"{self.site} #{self.count}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a moment; ``share`` in [0, 1) says how much of it, such as how long."""

    kind: str
    share: float


def number(text: str) -> float:
    """In [0, 1), always the same for one text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / SCALE


class Draws:
    """``rate``: faults per moment. ``only``: of all faults that would be drawn, let just these happen."""

    def __init__(self, seed: int, rate: float = 0.0, only: frozenset[Moment] | None = None) -> None:
        self.seed, self.rate, self._only = seed, rate, only
        self._passed: Counter[str] = Counter()
        self.quiet = False
        self.met: dict[Moment, Fault] = {}

    def stream(self, name: str) -> random.Random:
        """Random numbers of one part of the world."""
        return random.Random(f"{self.seed} {name}")

    def happens(self, moment: Moment) -> bool:
        """Whether a run that is being shortened still has this fault in it."""
        return self._only is None or moment in self._only

    def fault(self, site: str, kinds: Mapping[str, float], often: float = 1.0) -> Fault | None:
        """The fault at this passing of a site, if there is one, so much more ``often``; ``kinds`` by weight."""
        self._passed[site] += 1
        if self.quiet or not self.rate:
            return None
        moment = Moment(site, self._passed[site])
        drawn = number(f"{self.seed} {moment}")
        rate = self.rate * often
        if drawn >= rate or not kinds or not self.happens(moment):
            return None
        fault = Fault(_weighted(kinds, drawn / rate), number(f"{self.seed} {moment} share"))
        self.met[moment] = fault
        return fault


def _weighted(kinds: Mapping[str, float], at: float) -> str:
    left = at * sum(kinds.values())
    for kind, weight in kinds.items():
        left -= weight
        if left < 0:
            return kind
    return next(reversed(kinds))
