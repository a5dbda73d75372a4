"""How sure the choice of a winner is: what chance alone could have changed about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna.trials.records import TrialRecord


@dataclass(frozen=True, slots=True)
class Choice:
    """What all runs together say of trials. Several objectives have none, nor have trials that all have one value.

    ``ranked``: the candidates, the best by its ``expected`` value first, as far as anyone asks for them; the first
    ``alike`` of them cannot be told apart. ``observed`` has the best value seen. ``noisy``: chance moves a trial's
    value so far that the order of the best is mostly luck.
    """

    ranked: tuple[int, ...]
    expected: float
    observed: int
    alike: int
    noisy: bool

    @property
    def winner(self) -> int:
        """The trial that is best on average, as far as that is known."""
        return self.ranked[0]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What another trial is expected to gain after so many complete ``trials``, and the ``noise`` of its value.

    Both are in the objective's unit, about the best; ``share``: the gain in noises.
    """

    trials: int
    gain: float = math.inf
    noise: float = 0.0
    share: float = math.inf


@dataclass(frozen=True, slots=True)
class Assessment:
    """What ``retest: auto`` came to when so much was ``told``: who runs again, if noise is high, and who wins."""

    told: object = None
    noisy: bool | None = None
    nominated: tuple[int, ...] = ()
    elected: TrialRecord | None = None


def choice_line(status: Mapping[str, Any]) -> str:
    """How sure the choice of a status is, for people, with the trials beside it that another rule would name."""
    found, best = status["choice"], status.get("currentOptimalTrial") or {}
    named, words = best.get("retestOf", best.get("number")), [found["text"]]
    if found["trial"] != named:
        words.append(f"all runs together are for trial {found['trial']}, with {found['expected']:.6g} expected")
    if found["observedBest"] != named:
        words.append(f"the best value seen is that of trial {found['observedBest']}")
    return "; ".join(words)
