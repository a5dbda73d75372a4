"""Judging scores by the protocol: positions of equal weight, a fixed exit, equity marked at every open.

Each day a third of the equity (with an exit after three days) is put equally on the highest and the lowest scores;
a place that no score is strong enough for stays in cash. A hit is a score whose sign is that of the move that
followed; a score of zero is half a hit, so that silence is worth no more than a coin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.metrics import SMALLEST_DRAWDOWN, Floats, Performance, performance
from kubetuna_trial.task2.data import Market
from kubetuna_trial.task2.protocol import Protocol
from kubetuna_trial.task2.rewards import rewards

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares of the scale f64[days, tickers]: the most probable score, which is said, and the unsaid mean."""

    greedy: Floats
    mean: Floats


@dataclass(frozen=True, slots=True)
class Judgement:
    """Returns per day f64[T], their figures, and what single scores were worth."""

    returns: Floats
    performance: Performance
    mean_reward: float
    hit_rate: float
    trades: int


def judge(scores: Scores, market: Market, protocol: Protocol, days: range) -> Judgement:
    """What the scores of ``days`` come to."""
    held = positions(scores, protocol)
    returns = book_returns(held, market, protocol, days)
    moves = market.future_return(np.arange(days.start, days.stop), protocol.exit_days)
    return Judgement(
        returns,
        performance(returns),
        float(rewards(scores.greedy, moves).mean()),
        hit_rate(scores.greedy, moves),
        int(np.count_nonzero(held)),
    )


def joined(parts: Sequence[Judgement], scale: float) -> Judgement:
    """Equal parts of a window as one, their return compounded to that of ``scale`` times as many days."""
    returns = np.concatenate([part.returns for part in parts])
    found = performance(returns)
    total = (1 + found.total_return) ** scale - 1
    return Judgement(
        returns,
        replace(found, total_return=total, romad=total / max(-found.max_drawdown, SMALLEST_DRAWDOWN)),
        float(np.mean([part.mean_reward for part in parts])),
        float(np.mean([part.hit_rate for part in parts])),
        sum(part.trades for part in parts),
    )


def positions(scores: Scores, protocol: Protocol) -> Floats:
    """Shares of a place, 1 long to -1 short, f64[days, tickers], by the scores that a model says and nothing else.

    Equal scores share the places that are left for them: no other rule would be the model's own choice.
    """
    held = np.zeros(scores.greedy.shape)
    for side in (1, -1):
        own = side * scores.greedy
        above = own[:, None, :] - own[:, :, None]
        better = (above > _ROUNDING).sum(axis=2)
        equal = (np.abs(above) <= _ROUNDING).sum(axis=2)
        share = np.clip((protocol.positions - better) / equal, 0.0, 1.0)
        held += side * np.where(own >= protocol.threshold - _ROUNDING, share, 0.0)
    return held


def book_returns(held: NDArray[Any], market: Market, protocol: Protocol, days: range) -> Floats:
    """The book's return from each open to the next, from the first decision to the last exit."""
    opens, exit_days = market.opens, protocol.exit_days
    share = 1 / (exit_days * 2 * protocol.positions)
    equity, stakes = 1.0, np.zeros(len(held))
    returns = np.zeros(len(held) + exit_days - 1)
    for number in range(len(returns)):
        day = days.start + number
        if number < len(held):
            stakes[number] = equity * share
        open_since = range(max(0, number - exit_days + 1), min(number + 1, len(held)))
        gain = sum(
            stakes[start]
            * float(held[start] @ ((opens[:, day + 1] - opens[:, day]) / opens[:, days.start + start]))
            for start in open_since
        )
        traded = [start for start in (number, number - exit_days + 1) if start in open_since]
        cost = sum(stakes[start] * protocol.cost * np.abs(held[start]).sum() for start in traded)
        returns[number] = max(-1.0, (gain - cost) / equity) if equity else 0.0
        equity *= 1 + returns[number]
    return returns


def hit_rate(shares: Floats, moves: Floats) -> float:
    """Share of scores with the sign of the move that followed; without a sign either is half a hit."""
    return float(np.mean((1 + np.sign(shares) * np.sign(moves)) / 2))


def random_scores(shape: tuple[int, int], seed: int) -> Scores:
    """Uniform over the scale of ten."""
    shares = np.random.default_rng(seed).integers(-10, 11, shape) / 10
    return Scores(shares, shares)


def buy_and_hold(market: Market, protocol: Protocol, days: range) -> Floats:
    """Returns per day of all tickers, bought in equal parts at the first decision and sold at the last exit."""
    opens = market.opens[:, days.start : days.stop + protocol.exit_days]
    worth = (opens / opens[:, :1]).mean(axis=0)
    worth[0] *= 1 + protocol.cost
    worth[-1] *= 1 - protocol.cost
    return np.asarray(np.diff(worth) / worth[:-1])


def baselines(market: Market, protocol: Protocol, days: range) -> dict[str, float]:
    """What a person could do without any model, by the same protocol."""
    lucky = luck(market, protocol, days)
    return {
        "random_hit_rate": float(np.mean([one.hit_rate for one in lucky])),
        "random_return": float(np.mean([one.performance.total_return for one in lucky])),
        **{f"{n}_return": performance(r).total_return for n, r in untrained(market, protocol, days).items()},
    }


def luck(market: Market, protocol: Protocol, days: range) -> list[Judgement]:
    """Random scores, judged, once for each of the protocol's seeds."""
    shape = (len(days), len(market.world.tickers))
    return [judge(random_scores(shape, seed), market, protocol, days) for seed in range(protocol.random_seeds)]


def untrained(market: Market, protocol: Protocol, days: range) -> dict[str, Floats]:
    """Returns per day of what needs no scores."""
    held = buy_and_hold(market, protocol, days)
    return {"buy_and_hold": held, "flat": np.zeros_like(held)}
