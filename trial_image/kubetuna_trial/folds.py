"""Walk-forward folds: one stretch of time cut into equal blocks, each judged after training on all before it.

What lies before the held-out test part is cut into K + 1 blocks, equal to one row: of n rows, block i holds rows
``n * i // (K + 1)`` … ``n * (i + 1) // (K + 1) - 1``. Fold I of K trains on blocks 0 … I - 1 and is validated on
block I: the train part grows from fold to fold, the validation blocks follow each other without a gap, and no fold
knows anything later than its own block. Each trainer takes its usual embargo out of what meets at the border.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubetuna_trial.errors import InputError

FEWEST, MOST = 2, 10
HELP = f"train before block I of K that follow each other, validate on it; K from {FEWEST} to {MOST}"


@dataclass(frozen=True, slots=True)
class Fold:
    """The ``number``-th, counted from 1, of ``of`` folds; as text ``I/K``."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def cut(self, length: int, shortest: int, unit: str) -> tuple[int, int]:
        """Where the validation block starts, and where it stops, in ``length`` rows or days.

        Raises:
            InputError: the blocks are shorter than ``shortest``.
        """
        border, stop = (length * i // (self.of + 1) for i in (self.number, self.number + 1))
        if length // (self.of + 1) < shortest:
            most = length // shortest - 1
            remedy = f"take at most {most} folds" if most >= FEWEST else "more data is required"
            raise InputError(
                f"--fold: {self} cuts the {length} {unit} before the test part into blocks of "
                f"{length // (self.of + 1)}; at least {shortest} are needed: {remedy}"
            )
        return border, stop


def fold_of(text: str | None) -> Fold | None:
    """The fold that an option or a saved model names; None where it names none. Raises InputError."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,3})/(\d{1,3})", text, re.ASCII)
    fold = Fold(int(found[1]), int(found[2])) if found else None
    if fold is None or not FEWEST <= fold.of <= MOST or not 1 <= fold.number <= fold.of:
        raise InputError(
            f"--fold: {text[:40]!r} is not allowed; it must be I/K with K from {FEWEST} to {MOST} and I from 1 to K"
        )
    return fold
