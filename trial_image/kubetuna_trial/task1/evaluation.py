"""Judging a policy by the protocol: one deterministic pass over a window, equity marked every second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kubetuna_trial.metrics import Floats, Performance, performance, simple_returns
from kubetuna_trial.task1.agents import action_values
from kubetuna_trial.task1.book import SECONDS_HELD_AT_MOST, Rules, empty_book, trade
from kubetuna_trial.task1.market import MarketData, Observation, seen
from kubetuna_trial.task1.nets import ACTIONS, QNetwork
from kubetuna_trial.task1.protocol import Protocol
from kubetuna_trial.task1.vote import vote

Policy = Callable[[Observation], Tensor]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A policy's returns per second f64[T], its figures, and how much it traded (units of full exposure)."""

    returns: Floats
    performance: Performance
    turnover: float


def ensemble_policy(nets: Sequence[QNetwork], tape: MarketData) -> Policy:
    """The vote of several networks."""

    def decide(now: Observation) -> Tensor:
        observation = now.observation(tape)
        return vote(torch.stack([action_values(net, observation) for net in nets]))

    return decide


def random_policy(seed: int) -> Policy:
    """Uniformly random actions."""
    generator = torch.Generator().manual_seed(seed)

    def decide(now: Observation) -> Tensor:
        count = len(now.rows)
        return torch.randint(0, ACTIONS, (count,), generator=generator).to(now.rows.device)

    return decide


@torch.no_grad()
def judge(
    policy: Policy, gap: int, units: int, tape: MarketData, protocol: Protocol, episodes: int | None = None
) -> Judgement:
    """Trade the window, deciding every ``gap`` seconds with up to ``units`` units.

    With ``episodes`` only as many of it, spread evenly: a part that lies in one place would judge by its weather.
    """
    count = min(episodes or protocol.episodes, protocol.episodes)
    chosen = torch.arange(count, device=tape.prices.device) * protocol.episodes // count
    starts = chosen * protocol.episode + protocol.window[0]
    rules = Rules(protocol.slippage, units, SECONDS_HELD_AT_MOST)
    worth, turnover = _episodes(policy, gap, starts, tape, rules, protocol.episode)
    gains = np.diff(worth, axis=0, prepend=0.0).T.reshape(-1)
    unit = protocol.starting_equity / (float(tape.prices[protocol.window[0]]) * units)
    equity = protocol.starting_equity + unit * np.concatenate([[0.0], np.cumsum(gains)])
    returns = simple_returns(equity)
    return Judgement(returns, performance(returns), turnover / units)


def _episodes(
    policy: Policy, gap: int, starts: Tensor, tape: MarketData, rules: Rules, seconds: int
) -> tuple[Floats, float]:
    """What each episode has earned by each second, USD f64[seconds, episodes], and the units that changed hands."""
    book = empty_book(len(starts), starts.device)
    idle = torch.zeros_like(book.cash)
    worth, turnover = [], torch.zeros((), dtype=torch.float64, device=starts.device)
    for second in range(seconds):
        wish = (policy(seen(book, starts + second, rules)) - 1).to(torch.float64) if second % gap == 0 else idle
        price = tape.prices[starts + second + 1]
        traded = trade(book, wish, price, rules, closing=second == seconds - 1)
        turnover = turnover + (traded.position - book.position).abs().sum()
        book = traded
        worth.append(book.asset(price))
    return torch.stack(worth).cpu().numpy(), float(turnover)


def buy_and_hold(tape: MarketData, protocol: Protocol) -> Judgement:
    """Full exposure bought at the window's first trade and sold at its last."""
    first = protocol.window[0] + 1
    prices = tape.prices[first : first + protocol.episodes * protocol.episode].cpu().numpy()
    units = protocol.starting_equity / float(tape.prices[protocol.window[0]])
    cash = -units * prices[0] * (1 + protocol.slippage)
    equity = protocol.starting_equity + cash + units * prices
    equity[-1] -= units * prices[-1] * protocol.slippage
    returns = simple_returns(np.concatenate([[protocol.starting_equity], equity]))
    return Judgement(returns, performance(returns), 2.0)


def baselines(tape: MarketData, protocol: Protocol) -> dict[str, float]:
    """Returns of what a person could do without any training, by the same protocol."""
    luck = [
        judge(random_policy(seed), 1, 1, tape, protocol).performance.total_return
        for seed in range(protocol.random_seeds)
    ]
    return {
        "buy_and_hold_return": buy_and_hold(tape, protocol).performance.total_return,
        "flat_return": 0.0,
        "random_return": float(np.mean(luck)),
    }
