"""Trade a contest data set with the agents beside this file, by the rules that they were judged by.

    python task1_trade.py --prices BTC_1sec.csv --factors BTC_1sec_predict.npy --rows 5000:9000 --trades new.csv

It needs torch and numpy only. ``act`` is the ensemble: the agents of ``config.json``, and their vote.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
# Where saved agents find the classes that they were made of.
sys.path.insert(0, str(HERE))
# Added to what an action has: what costs nothing is preferred.
PREFERENCE = (1e-9, 2e-9, 0.0)


def load(folder: Path = HERE) -> tuple[list[nn.Module], dict[str, Any]]:
    """The agents' networks, and how they were made to trade."""
    config = json.loads((folder / "config.json").read_text())
    paths = [folder / agent["folder"] / "act.pth" for agent in config["agents"]]
    return [torch.load(path, map_location="cpu", weights_only=False) for path in paths], config


@torch.no_grad()
def act(nets: Sequence[nn.Module], state: Tensor) -> Tensor:
    """What the ensemble does in states f32[n, 2 + factors]: 0 sells, 1 keeps, 2 buys.

    Most votes win, then the larger sum of advantages in units of each agent's spread, then keeping.
    """
    values = torch.stack([net(state) for net in nets]).double()
    top = (values == values.amax(dim=2, keepdim=True)).double()
    advantage = values - values.mean(dim=2, keepdim=True)
    spread = advantage.abs().amax(dim=2, keepdim=True).clamp_min(1e-12)
    votes = (top / top.sum(dim=2, keepdim=True)).sum(dim=0)
    return (votes + (advantage / spread).mean(dim=0) / 32 + votes.new_tensor(PREFERENCE)).argmax(dim=1)


def trade(
    nets: Sequence[nn.Module], config: dict[str, Any], prices: np.ndarray, factors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Equity f64[T + 1], and the position after each second i64[T], over as many whole episodes as there are."""
    rules, units, gap = config["protocol"], config["env_args"]["max_position"], config["env_args"]["step_gap"]
    seconds, longest = rules["episode"], 3600
    episodes = (len(prices) - 1) // seconds
    starts = torch.arange(episodes) * seconds
    mid, seen = torch.from_numpy(prices), torch.from_numpy(np.ascontiguousarray(factors, dtype=np.float32))
    position = held = cash = torch.zeros(episodes, dtype=torch.float64)
    worth, positions = [], []
    for second in range(seconds):
        wish = torch.zeros_like(position)
        if second % gap == 0:
            own = torch.stack([position / units, held / longest], dim=1).float()
            wish = act(nets, torch.cat([own, seen[starts + second]], dim=1)).double() - 1
        price = mid[starts + second + 1]
        held = held + 1
        closing = ((position != 0) & (held > longest)) | (second == seconds - 1)
        after = torch.where(closing, torch.zeros_like(position), (position + wish).clamp(-units, units))
        cash = cash - (after - position) * price * (1 + rules["slippage"] * (after - position).sign())
        held = held.masked_fill((position == 0) | (after == 0), 0.0)
        position = after
        worth.append(cash + position * price)
        positions.append(position)
    gains = np.diff(torch.stack(worth).numpy(), axis=0, prepend=0.0).T.reshape(-1)
    unit = rules["starting_equity"] / (prices[0] * units)
    equity = rules["starting_equity"] + unit * np.concatenate([[0.0], np.cumsum(gains)])
    return equity, torch.stack(positions).numpy().T.reshape(-1).astype(np.int64)


def figures(equity: np.ndarray) -> dict[str, float]:
    """Return, Sharpe ratio a second and drawdown of an equity curve."""
    returns = np.diff(equity) / equity[:-1]
    growth = np.concatenate([[1.0], np.cumprod(1 + returns)])
    deviation = float(returns.std())
    return {
        "sharpe_ratio": float(returns.mean()) / deviation if deviation >= 1e-12 else 0.0,
        "total_return": float(growth[-1] - 1),
        "max_drawdown": float((growth / np.maximum.accumulate(growth) - 1).min()),
    }


def data_of(prices: Path, factors: Path, align: str, rows: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Prices and factors of some rows, and the first row's number; ``rows`` is FIRST:STOP, either may be absent."""
    table = np.load(factors, mmap_mode="r", allow_pickle=False)
    with prices.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        column = [name.strip() for name in next(lines)].index("midpoint")
        known = np.array([float(line[column]) for line in lines if line])
    first, stop, _ = slice(*(int(word) if word else None for word in rows.split(":"))).indices(len(table))
    offset = len(known) - len(table) if align == "rear" else 0
    return known[offset + first : offset + stop], table[first:stop], first


def main() -> None:
    """Print the figures as JSON, and write every change of position."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prices", type=Path, required=True)
    parser.add_argument("--factors", type=Path, required=True)
    parser.add_argument("--align", choices=("front", "rear"))
    parser.add_argument("--rows", default=":")
    parser.add_argument("--trades", type=Path, help="write row and position after each trade there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    nets, config = load()
    prices, factors, first = data_of(
        options.prices, options.factors, options.align or config["align"], options.rows
    )
    equity, positions = trade(nets, config, prices, factors)
    changed = np.flatnonzero(np.diff(positions, prepend=0))
    print(json.dumps({**figures(equity), "trades": len(changed)}))
    if options.trades:
        # What is decided at a row is carried out at the next one.
        lines = [f"{first + 1 + i},{positions[i]}\n" for i in changed]
        options.trades.write_text("row,position\n" + "".join(lines))


if __name__ == "__main__":
    main()
