"""What ``/healthz`` and ``/readyz`` answer: whether every loop that must keep running still does.

A thread that died has ended the process; these find the ones that hang.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kubetuna.experiment.units import duration


@dataclass(frozen=True, slots=True)
class Report:
    """An answer, with notes for people; ``good`` ones may have some too."""

    good: bool
    notes: tuple[str, ...] = ()

    def noting(self, more: Iterable[str]) -> Report:
        """The same with further notes."""
        return Report(self.good, (*self.notes, *more))


@dataclass(frozen=True, slots=True)
class Sign:
    """``silent`` tells for how many seconds a part has shown no life; beyond ``limit`` it counts as hanging."""

    name: str
    silent: Callable[[], float]
    limit: float


def alive(signs: Sequence[Sign]) -> Report:
    """Whether all parts live, with the silent ones."""
    seconds = {sign.name: (sign.silent(), sign.limit) for sign in signs}
    notes = tuple(f"{name}: silent for {duration(for_)}" for name, (for_, limit) in seconds.items() if for_ > limit)
    return Report(not notes, notes)
