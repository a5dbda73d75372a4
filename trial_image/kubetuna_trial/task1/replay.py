"""``replay``: put a sequence of actions through the simulator and show what it does with them, step by step."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from kubetuna_trial.errors import InputError
from kubetuna_trial.metrics import Floats
from kubetuna_trial.task1.book import Rules, empty_book, holding_limit, trade
from kubetuna_trial.task1.files import read_column, read_prices

DESCRIPTION = """\
Row i of the prices (column midpoint) is the price at which action i is carried out and valued. Nothing is closed at
the end. A position is closed, whatever the action, once it has been held for more than 3600 / step-gap steps or the
stop-loss strikes, judged on the position before the action."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the answer. Money in USD; ``holding`` counts steps."""

    step: int
    price: float
    action: int
    position: int
    cash: float
    asset: float
    reward: float
    holding: int


def replay(prices: Floats, actions: Floats, rules: Rules) -> list[Step]:
    """Carry out actions (-1, 0, 1) at prices of the same length."""
    book = empty_book(1, torch.device("cpu"))
    asset, steps = 0.0, []
    for index, (price, action) in enumerate(zip(prices, actions, strict=True)):
        now = torch.tensor([price], dtype=torch.float64)
        book = trade(book, torch.tensor([action], dtype=torch.float64), now, rules)
        before, asset = asset, float(book.asset(now))
        steps.append(
            Step(index, float(price), int(action), int(book.position), float(book.cash), asset, asset - before,
                 int(book.holding))
        )  # fmt: skip
    return steps


def add_options(parser: ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--prices", type=Path, required=True, metavar="FILE", help="CSV with a column midpoint")
    parser.add_argument(
        "--actions", type=Path, required=True, metavar="FILE", help="CSV with a column action: -1, 0, 1"
    )
    parser.add_argument("--compat", action="store_true", help="the contest simulator's arithmetic")
    parser.add_argument("--step-gap", type=int, default=1, metavar="N", help="seconds a step stands for (1)")
    parser.add_argument(
        "--slippage", type=float, default=7e-7, metavar="X", help="cost of a trade, fraction (7e-7)"
    )
    parser.add_argument("--max-position", type=int, default=1, metavar="N", help="units held at most (1)")
    parser.add_argument("--stop-loss", type=float, metavar="X",
                        help="fall from the best price that closes a position: a fraction of it (none), "
                             "with --compat in USD (0.001)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="an array with one object per step")


def run(options: Namespace) -> int:
    """Read, replay and show. Raises InputError."""
    rules = _rules(options)
    prices, actions = read_prices(options.prices), read_column(options.actions, "action")
    wrong = np.flatnonzero(~np.isin(actions, (-1, 0, 1)))
    if wrong.size:
        raise InputError(f"{options.actions}: line {wrong[0] + 2}: action {actions[wrong[0]]:g} must be -1, 0 or 1")
    if len(prices) < len(actions):
        raise InputError(
            f"{options.prices}: has {len(prices)} rows for {len(actions)} actions; give a price for each"
        )
    steps = replay(prices[: len(actions)], actions, rules)
    if options.json:
        print(json.dumps([asdict(step) for step in steps], allow_nan=False))
        return 0
    print("  step        price action position           cash        asset       reward holding")
    for s in steps:
        row = f"{s.step:>6} {s.price:>12.3f} {s.action:>6} {s.position:>8} {s.cash:>14.4f}"
        print(f"{row} {s.asset:>12.5f} {s.reward:>12.5f} {s.holding:>7}")
    return 0


def _rules(options: Namespace) -> Rules:
    limits = (("--step-gap", options.step_gap, 1, 3600), ("--slippage", options.slippage, 0, 0.1),
              ("--max-position", options.max_position, 1, 100))  # fmt: skip
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise InputError(f"{name}: {value} is not allowed; it must be from {low} to {high}")
    stop = options.stop_loss if options.stop_loss is not None else (1e-3 if options.compat else None)
    if stop is not None and not stop >= 0:
        raise InputError(f"--stop-loss: {stop} is not allowed; it must not be negative")
    return Rules(options.slippage, options.max_position, holding_limit(options.step_gap), stop, options.compat)
