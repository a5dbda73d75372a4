"""Which rank of a distributed trainer speaks for a metric, where each of them prints it.

What a launcher (``torchrun``, ``mpirun``, ``horovodrun``) or a logger puts before a line tells the rank, or a
report gives it. The first rank that reports a metric in an attempt speaks for it, and another one only at a step
above all before it. Where no line tells its rank, steps show it: a program that reports a step again and then goes
on to further ones runs several times over. The last step alone may be repeated by an evaluation of the final model,
which counts, and an epoch by every hundredth batch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

# Where a prefix can still stand.
_PREFIX = 200
_RANK = re.compile(
    r"\[(?:default|worker|trainer)[ _:]?(?P<role>\d{1,6})\]"
    r"|(?:\b|mpi|(?:global|local)_)rank(?:[ _:=]{0,3}(?P<rank>\d{1,6}) ?[]),:|>]|=(?P<given>\d{1,6})(?=\s))"
    r"|\A(?:worker|node|trainer)[-_ ]?(?P<host>\d{1,6}): "
    r"|\[(?:\d{1,6},)?(?P<tag>\d{1,6})\]<std(?:out|err)>:",
    re.IGNORECASE,
)
_HOSTS = ("worker", "node", "trainer")
_KEYS = ("rank", "global_rank", "local_rank")


def rank_before(text: str) -> int | None:
    """The rank that a line's prefix tells."""
    # Most lines have neither sign, and a search costs as much as all else that is done with a line.
    if "[" not in text and "ank" not in text and "ANK" not in text and not text.startswith(_HOSTS):
        return None
    found = _RANK.search(text, 0, _PREFIX)
    return int(found[found.lastgroup or 0]) if found else None


def rank_in(report: Mapping[str, Any], before: int | None) -> int | None:
    """The rank that a report gives, else the one before it."""
    for key in _KEYS:
        if key in report and isinstance(given := report[key], int) and not isinstance(given, bool):
            return given
    return before


@dataclass(slots=True)
class _Heard:
    """The last report of a metric that counted; ``again``: at its step more than once, ``shared``: by several."""

    place: float | None = None
    rank: int | None = None
    again: bool = False
    shared: bool = False

    def counts(self, place: float | None, rank: int | None, unique: bool) -> bool:
        """Whether one more report counts; it is taken in if so."""
        if place is not None and (self.place is None or place > self.place):
            self.shared = unique and (self.shared or self.again)
            self.place, self.rank, self.again = place, rank, False
            return True
        if None not in (rank, self.rank) and rank != self.rank:
            return False
        self.again |= unique and rank is None and place == self.place
        return place is None or not self.shared


class Ranks:
    """Mutable; one per attempt. ``state`` is what an earlier process stored of it."""

    def __init__(self, state: Mapping[str, Sequence[Any]]) -> None:
        self._heard = {name: _Heard(*heard) for name, heard in state.items()}

    def count(self, name: str, place: float | None, rank: int | None, unique: bool) -> bool:
        """Whether a report of the metric counts.

        ``unique``: its place is a step, which one process reports once, unlike an epoch.
        """
        if (heard := self._heard.get(name)) is not None:
            return heard.counts(place, rank, unique)
        self._heard[name] = _Heard(place, rank)
        return True

    def to_state(self) -> dict[str, Any]:
        """What to store, as JSON."""
        return {name: list(astuple(heard)) for name, heard in self._heard.items() if heard != _Heard()}
