"""Interleaved timing: each contender in turn, several rounds, medians; what slows the machine slows all alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``spread`` is half the range over the rounds, in the figure's unit."""

    name: str
    value: float
    unit: str
    spread: float = 0.0
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def times(count: int, work: Callable[[], object]) -> Callable[[], None]:
    """The same call again and again."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


def medians(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median and half range of what each contender returns, over interleaved rounds."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            say(f"  round {number + 1} of {rounds}: {name}")
            found[name].append(contender())
    return {name: (statistics.median(v), (max(v) - min(v)) / 2) for name, v in found.items()}


def geometric_mean(groups: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Of logarithms, each group as heavy as another, with the ends of a 95 % bootstrap interval.

    Of a single value in a group the spread is unknown, so the interval has no ends.
    """
    if min(map(len, groups)) < 2:
        return float(np.exp(np.mean([np.mean(g) for g in groups]))), 0.0, float("inf")
    draw = np.random.default_rng(0)
    drawn = [np.array(g)[draw.integers(len(g), size=(RESAMPLES, len(g)))].mean(axis=1) for g in groups]
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    mean = np.mean([np.mean(g) for g in groups])
    return float(np.exp(mean)), float(np.exp(low)), float(np.exp(high))


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
