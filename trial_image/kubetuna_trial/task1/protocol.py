"""The protocol of evaluation: what judges every trial of a study alike, and its hash.

Nothing here comes from a trial's parameters. A policy trades the validation rows in consecutive episodes of equal
length; every second counts once. It decides as often as it was trained to, and each decision is carried out one
second later. Its full exposure is worth the starting equity, however many units it splits it into. Equity is marked
every second.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from kubetuna_trial.task1.data import Dataset
from kubetuna_trial.task1.splits import USUAL, Span


@dataclass(frozen=True, slots=True)
class Protocol:
    """Seconds of an episode, costs, and how much of the window intermediate reports use."""

    data: str
    window: tuple[int, int]
    episode: int = 300
    report_share: float = 0.5
    report_least: int = 40
    slippage: float = 7e-7
    starting_equity: float = 1e6
    random_seeds: int = 5
    tie_rule: str = "majority, then advantage, then keep"
    version: int = 3
    split: str = USUAL
    fold: str | None = None

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with anything that could change a figure."""
        return hashlib.sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()[:16]

    def fields(self) -> dict[str, object]:
        """All that it fixes, by name. Without a fold it has none to name."""
        return {name: value for name, value in asdict(self).items() if name != "fold" or value is not None}

    @property
    def episodes(self) -> int:
        """Whole episodes of the window; carrying out the last trade needs one second more."""
        return (self.window[1] - self.window[0] - 1) // self.episode

    @property
    def reported(self) -> int:
        """Episodes of a report before the last: all of a short window, half of a long one."""
        return min(self.episodes, max(self.report_least, int(self.episodes * self.report_share)))


def protocol_of(data: Dataset, window: Span) -> Protocol:
    """The protocol on a window of a dataset."""
    fold = None if data.fold is None else str(data.fold)
    return Protocol(data=data.digest, window=(window.start, window.stop), split=str(data.split), fold=fold)
