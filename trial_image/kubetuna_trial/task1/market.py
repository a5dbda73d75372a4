"""The training market: many simulated traders over random stretches of the train rows, side by side.

A decision at second t is carried out at t + 1, so that nothing it rests on is later than it. Its reward is what the
position it leads to earns until the next decision, costs included, in units of a second's usual move: rewards
add up to what was earned, and each belongs to the decision that made it. In ``compat`` a decision is carried out a
whole step later and its reward is the change of the asset there, as in the contest's simulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kubetuna_trial.errors import InputError
from kubetuna_trial.task1.book import Book, Rules, empty_book, trade
from kubetuna_trial.task1.data import Dataset
from kubetuna_trial.task1.splits import Span


@dataclass(frozen=True, slots=True)
class MarketData:
    """Prices f64[N] and factors f32[N, F] on a device; ``move`` is the usual move of a second, in USD."""

    prices: Tensor
    factors: Tensor
    move: float

    @staticmethod
    def of(data: Dataset, device: torch.device) -> MarketData:
        """Put a dataset on a device."""
        return MarketData(
            torch.from_numpy(data.prices).to(device), torch.from_numpy(data.factors).to(device), data.move
        )

    @property
    def width(self) -> int:
        """Numbers in an observation: position, holding, factors."""
        return 2 + int(self.factors.shape[1])


@dataclass(frozen=True, slots=True)
class Observation:
    """What traders see, compactly: rows i64[n] of the tape, and position and holding as fractions f32[n, 2]."""

    rows: Tensor
    own: Tensor

    def observation(self, tape: MarketData) -> Tensor:
        """f32[n, 2 + F]."""
        return torch.cat([self.own, tape.factors[self.rows]], dim=1)


def seen(book: Book, rows: Tensor, rules: Rules) -> Observation:
    """What is seen of a book at rows of the tape."""
    own = torch.stack([book.position / rules.max_position, book.holding / rules.max_holding], dim=1)
    return Observation(rows, own.to(torch.float32))


class Market:
    """``sims`` traders. All episodes have the same length, start together and end flat."""

    def __init__(self, tape: MarketData, span: Span, rules: Rules, gap: int, sims: int, steps: int) -> None:
        self.tape, self.rules, self._gap, self._sims, self._steps = tape, rules, gap, sims, steps
        self._first, self._last = span.start, span.stop - (steps + 1) * gap - 2
        if self._last <= self._first:
            raise InputError(
                f"an episode of {steps} decisions, {gap} s apart, does not fit into the {span.stop - span.start} "
                "train rows: it takes more rows, fewer folds or the quick profile"
            )
        self._step = steps
        self._rows = torch.zeros(sims, dtype=torch.int64, device=tape.prices.device)
        self._book = empty_book(sims, tape.prices.device)

    def now(self, generator: torch.Generator) -> Observation:
        """What is seen before the next decision; begins a new episode where the last one ended."""
        if self._step >= self._steps:
            device = self.tape.prices.device
            starts = torch.randint(
                self._first, self._last, (self._sims,), generator=generator, device=generator.device
            )
            self._rows, self._book, self._step = starts.to(device), empty_book(self._sims, device), 0
        return seen(self._book, self._rows, self.rules)

    def step(self, action: Tensor) -> tuple[Tensor, Observation, bool]:
        """Carry out i64[sims] (0 sell, 1 keep, 2 buy): rewards f32[sims], what is seen next, the episode's end."""
        self._step += 1
        ended = self._step >= self._steps
        before = self._book.asset(self._price(0 if self.rules.compat else 1))
        at = self._price(self._gap if self.rules.compat else 1)
        self._book = trade(self._book, (action - 1).to(torch.float64), at, self.rules, closing=ended)
        after = self._book.asset(at if self.rules.compat else self._price(1 + self._gap))
        self._rows = self._rows + self._gap
        reward = ((after - before) / self.tape.move).to(torch.float32)
        return reward, seen(self._book, self._rows, self.rules), ended

    def _price(self, ahead: int) -> Tensor:
        return self.tape.prices[self._rows + ahead]

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        book = self._book
        return {
            "step": self._step,
            "rows": self._rows.clone(),
            "book": [book.position, book.holding, book.cash, book.best],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        device = self.tape.prices.device
        self._step, self._rows = state["step"], state["rows"].to(device)
        self._book = Book(*(tensor.to(device) for tensor in state["book"]))
