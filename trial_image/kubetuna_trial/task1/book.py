"""What a trade does to position, cash and asset: the arithmetic that training, judging and ``replay`` share.

Vectors over simulations, no loop, no synchronisation with the device. Money is f64: a position is worth
50,000 USD and a second's move less than one, which single precision would blur.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

SECONDS_HELD_AT_MOST = 3600


@dataclass(frozen=True, slots=True)
class Rules:
    """How trades are carried out.

    ``slippage`` is paid on both sides as a fraction of the price. ``stop_loss`` closes a position that fell from
    its best price by more than this fraction of it; with ``compat`` (the contest simulator's arithmetic), by more
    than this many USD. ``max_holding`` counts steps.
    """

    slippage: float
    max_position: int
    max_holding: int
    stop_loss: float | None = None
    compat: bool = False


def holding_limit(step_gap: int) -> int:
    """Steps after which a position is closed: an hour of them."""
    return SECONDS_HELD_AT_MOST // step_gap


@dataclass(frozen=True, slots=True)
class Book:
    """State of each simulation, all f64[sims]: units held, steps held, USD, and the best price while held."""

    position: Tensor
    holding: Tensor
    cash: Tensor
    best: Tensor

    def asset(self, price: Tensor) -> Tensor:
        """Worth at a price, USD; starts at 0."""
        return self.cash + self.position * price


def empty_book(sims: int, device: torch.device) -> Book:
    """Flat, with nothing earned."""
    zero = torch.zeros(sims, dtype=torch.float64, device=device)
    return Book(zero, zero, zero, zero)


def trade(book: Book, change: Tensor, price: Tensor, rules: Rules, closing: bool = False) -> Book:
    """Carry out a wished ``change`` of position (f64[sims], any of -1, 0, 1) at ``price``.

    A position is closed instead, whatever was wished, when it is held too long, has fallen too far from its best
    price, or the episode is ``closing``. Whether it is, is judged on the position before the trade.
    """
    old, limit = book.position, float(rules.max_position)
    best = torch.where(
        old > 0, torch.maximum(book.best, price), torch.where(old < 0, torch.minimum(book.best, price), price)
    )
    holding = book.holding + 1
    forced = (old != 0) & ((holding > rules.max_holding) | _stopped(old, best, price, rules))
    wished = (old + change).clamp(-limit, limit) - old
    done = torch.where(forced, -old, wished) if not closing else -old
    position = old + done
    cash = book.cash - done * price * (1 + rules.slippage * done.sign())
    idle = (old == 0) if rules.compat else (old == 0) | (position == 0)
    return replace(book, position=position, cash=cash, best=best, holding=holding.masked_fill(idle, 0.0))


def _stopped(position: Tensor, best: Tensor, price: Tensor, rules: Rules) -> Tensor:
    if rules.stop_loss is None:
        return torch.zeros_like(position, dtype=torch.bool)
    fall = (best - price) * position.sign()
    return fall > (rules.stop_loss if rules.compat else rules.stop_loss * best)
