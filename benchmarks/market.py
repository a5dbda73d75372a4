"""Task 1's vectorised market against a plain loop over simulations, alone and in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Row, medians, say, seconds, times
from kubetuna_trial.task1.book import Rules, holding_limit
from kubetuna_trial.task1.data import planted_dataset
from kubetuna_trial.task1.market import Market, MarketData, Observation
from kubetuna_trial.task1.member import Member, Scale
from kubetuna_trial.task1.parameters import parse_parameters
from kubetuna_trial.task1.planted import SNR

SIMS = 256


class LoopMarket(Market):
    """The same market, one simulation after the other in plain Python."""

    def step(self, action: Tensor) -> tuple[Tensor, Observation, bool]:
        """One decision of every simulation."""
        self._step += 1
        ended = self._step >= self._steps
        prices, factors = self.tape.prices, self.tape.factors
        book = self._book
        columns: dict[str, list[float]] = {name: [] for name in ("position", "holding", "cash", "best", "reward")}
        for sim in range(self._sims):
            row = int(self._rows[sim])
            factors[row].tolist()
            self._one(
                sim, int(action[sim]), float(prices[row + 1]), float(prices[row + 1 + self._gap]), ended, columns
            )
        made = {name: torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}
        self._book = type(book)(made["position"], made["holding"], made["cash"], made["best"])
        self._rows = self._rows + self._gap
        own = torch.stack(
            [made["position"] / self.rules.max_position, made["holding"] / self.rules.max_holding], dim=1
        )
        return made["reward"].to(torch.float32), Observation(self._rows, own.to(torch.float32)), ended

    def _one(
        self, sim: int, action: int, price: float, later: float, ended: bool, columns: dict[str, list[float]]
    ) -> None:
        book, limit = self._book, float(self.rules.max_position)
        old, cash = float(book.position[sim]), float(book.cash[sim])
        best, holding = float(book.best[sim]), float(book.holding[sim]) + 1
        best = max(best, price) if old > 0 else min(best, price) if old < 0 else price
        change = max(-limit, min(limit, old + action - 1)) - old
        if ended or (old and holding > self.rules.max_holding):
            change = -old
        before = cash + old * price
        cash -= change * price * (1 + self.rules.slippage * ((change > 0) - (change < 0)))
        position = old + change
        columns["reward"].append((cash + position * later - before) / self.tape.move)
        columns["position"].append(position)
        columns["holding"].append(0.0 if not old or not position else holding)
        columns["cash"].append(cash)
        columns["best"].append(best)


def rows(quick: bool) -> list[Row]:
    """Environment steps per second, and training to the same number of updates."""
    torch.set_num_threads(1)
    data = planted_dataset(20_000, 7, SNR)
    tape = MarketData.of(data, torch.device("cpu"))
    steps = 20 if quick else 100
    found = medians(
        {
            "vectors": lambda: SIMS * steps * 10 / _steps(Market, tape, data.train, steps * 10),
            "loop": lambda: SIMS * steps / _steps(LoopMarket, tape, data.train, steps),
            "training, vectors": lambda: _training(Market, tape, data.train, steps),
            "training, loop": lambda: _training(LoopMarket, tape, data.train, steps),
        },
        3,
    )
    vectors, loop = found["vectors"], found["loop"]
    note = f"{SIMS} simulations, one CPU thread"
    return [
        Row("task 1: environment steps a second", vectors[0], "1/s", vectors[1], note),
        Row("task 1: over a loop per simulation", vectors[0] / loop[0], "x", note="environment alone"),
        Row("task 1: training, loop over ours", found["training, loop"][0] / found["training, vectors"][0], "x",
            note=f"{steps} decisions and as many updates of 64³ units, batch 128; the bar is 10x"),
    ]  # fmt: skip


def _steps(kind: type[Market], tape: MarketData, span: Any, steps: int) -> float:
    market = kind(tape, span, Rules(7e-7, 1, holding_limit(2)), 2, SIMS, 240)
    random = torch.Generator().manual_seed(1)
    actions = torch.randint(0, 3, (steps, SIMS), generator=random)

    def work() -> None:
        for action in actions:
            market.now(random)
            market.step(action)

    return seconds(work)


def _training(kind: type[Market], tape: MarketData, span: Any, updates: int) -> float:
    given = {"num_sims": SIMS, "repeat_times": 1, "net_dims_0": 64, "net_dims_1": 64, "net_dims_2": 64}
    member = Member("D3QN", parse_parameters(given), Scale(240, 16, 32), tape, span, 1, False)
    own = member._market
    member._market = kind(own.tape, span, own.rules, own._gap, SIMS, 240)
    say(f"    {kind.__name__}")
    return seconds(times(updates, member.advance))
