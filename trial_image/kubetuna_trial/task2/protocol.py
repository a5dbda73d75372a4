"""The protocol of evaluation: what judges every trial of a study alike, and its hash.

Nothing here comes from a trial's parameters. A trial's model is asked on the scale that it was trained on
(``signal_strength``) and judged by the share of that scale; what a score earns is settled by the market after
``exit_days``, whatever ``lookahead`` training used, and rewards are not scaled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from kubetuna_trial.task2.data import EXIT_DAYS, Market
from kubetuna_trial.task2.prompts import Prompting
from kubetuna_trial.task2.rewards import THRESHOLD


@dataclass(frozen=True, slots=True)
class Protocol:
    """The window (days of decision), the book's rules, costs, and which share of it intermediate reports use."""

    data: str
    window: tuple[int, int]
    prompt: str
    exit_days: int = EXIT_DAYS
    positions: int = 3
    threshold: float = THRESHOLD
    cost: float = 0.0005
    starting_equity: float = 1e6
    report_share: float = 0.5
    report_block: int = 14
    random_seeds: int = 20
    tie_rule: str = "equal scores share the places left"
    version: int = 3
    fold: str | None = None
    line: str | None = None
    chat: bool | None = None

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with anything that could change a figure."""
        return hashlib.sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()[:16]

    def fields(self) -> dict[str, object]:
        """All that it fixes, by name; what is as usual, or absent, is not named."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def days(self, limit: int | None = None) -> range:
        """The days of decision, or the first ``limit`` of them."""
        first, last = self.window
        return range(first, last if limit is None else min(last, first + limit))

    def reported(self) -> list[range]:
        """The days of a report before the last: blocks, spread evenly, of a share of the window.

        A part that lies in one place would judge by its weather; single days would not hold a position to its end.
        """
        days = self.days()
        count = max(1, round(len(days) * self.report_share / self.report_block))
        size = max(1, round(len(days) * self.report_share / count))
        starts = (days.start + (len(days) - size) * i // max(1, count - 1) for i in range(count))
        return [range(start, start + size) for start in starts]


def protocol_of(market: Market, how: Prompting | None = None) -> Protocol:
    """The protocol on a market's window. What a model is asked is a part of it, how much it reads is not."""
    window, fold, how = market.window, None if market.fold is None else str(market.fold), how or Prompting()
    asked = how.question("TICKER", ["NEWS"], "CLOSE", 10)
    line = None if how.line == Prompting().line else how.line
    return Protocol(market.digest, (window.start, window.stop), asked, fold=fold, line=line, chat=how.chat or None)
