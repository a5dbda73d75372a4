"""Synthetic bitcoin data in the contest's own file format, with a signal of known strength, or none.

What the next seconds bring is ``snr`` times a direction times a regime. The direction is an AR(1) process:
``d[t+1] = rho d[t] + sqrt(1 - rho²) e``. The regime is 1 while the price follows it and -1 while it goes against
it; it is 1 for three fifths of the time only, so that a line through the factors finds a fifth of what there is:
the rest lies in their product. The log return from second t to t + 1 is ``sigma (snr g[t-lag] d[t-lag] + e')``, so
that it pays to be there before. Four of the eight factors see the direction through noise (correlation 0.7), two
see the regime, two see nothing. With ``snr=0`` the factors look the same and are worthless: the control on which a
winner is luck.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# At which a few hundred updates tell good parameters from usual ones, and a line finds a third of what they do.
SNR = 0.2
# Changes with anything that makes other data of the same rows, seed and snr.
RECIPE = 2
PERSISTENCE = 0.95
LAG = 3
# Chances a second that the price stops following the direction, and that it follows it again.
TURNS = (1 / 60, 1 / 40)
SIGMA = 0.25e-4
DIRECTED, REGIMED = 4, 2
FACTORS = 8
CORRELATION = 0.7
START_PRICE = 50_000.0
LEVELS = 15
PRICES_FILE = "BTC_1sec.csv"
FACTORS_FILE = "BTC_1sec_predict.npy"


@dataclass(frozen=True, slots=True)
class Series:
    """``prices`` f64[N] in USD, one a second; ``factors`` f32[N, 8] known at that second."""

    prices: Floats
    factors: NDArray[np.float32]


def planted_series(rows: int, seed: int, snr: float) -> Series:
    """Generate ``rows`` seconds."""
    rng = np.random.default_rng(seed)
    direction, regime = _direction(rng, rows), _regime(rng, rows)
    drift = np.concatenate([np.zeros(LAG), (regime * direction)[: rows - 1 - LAG]])
    moves = SIGMA * (snr * drift + rng.standard_normal(rows - 1))
    prices = START_PRICE * np.exp(np.concatenate([[0.0], np.cumsum(moves)]))
    seen = np.stack([direction] * DIRECTED + [regime] * REGIMED, axis=1)
    factors = rng.standard_normal((rows, FACTORS))
    known = slice(0, DIRECTED + REGIMED)
    factors[:, known] = CORRELATION * seen + np.sqrt(1 - CORRELATION**2) * factors[:, known]
    return Series(prices, factors.astype(np.float32))


def _direction(rng: np.random.Generator, rows: int) -> Floats:
    shocks = rng.standard_normal(rows) * np.sqrt(1 - PERSISTENCE**2)
    found = np.empty(rows)
    level = rng.standard_normal()
    for t in range(rows):
        level = PERSISTENCE * level + shocks[t]
        found[t] = level
    return found


def _regime(rng: np.random.Generator, rows: int) -> Floats:
    chances = rng.random(rows)
    found = np.empty(rows)
    follows = True
    for t in range(rows):
        follows ^= bool(chances[t] < TURNS[0 if follows else 1])
        found[t] = 1.0 if follows else -1.0
    return found


def write_contest_files(folder: Path, rows: int, seed: int, snr: float) -> tuple[Path, Path]:
    """Write the price CSV (155 columns, as the contest's) and the factor array; returns their paths."""
    series = planted_series(rows, seed, snr)
    folder.mkdir(parents=True, exist_ok=True)
    prices, factors = folder / PRICES_FILE, folder / FACTORS_FILE
    np.save(factors, series.factors)
    rng = np.random.default_rng([seed, 1])
    start = datetime(2021, 4, 7, 11, 32, 42, tzinfo=UTC)
    with prices.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *columns()])
        for row, price in enumerate(series.prices):
            time = (start + timedelta(seconds=row)).strftime("%Y-%m-%d %H:%M:%S.%f+00:00")
            writer.writerow([row, time, repr(float(price)), *_book(rng)])
    return prices, factors


def columns() -> list[str]:
    """The columns of the contest's price file, in its order."""
    names = ["system_time", "midpoint", "spread", "buys", "sells"]
    for side in ("bids", "asks"):
        names += [f"{side}_distance_{level}" for level in range(LEVELS)]
        for kind in ("notional", "cancel_notional", "limit_notional", "market_notional"):
            names += [f"{side}_{kind}_{level}" for level in range(LEVELS)]
    return names


def _book(rng: np.random.Generator) -> list[str]:
    """Spread, flows, and both sides of an order book that carries no information."""
    flows = rng.exponential(2e4, 2)
    values = [0.01, *flows]
    for sign in (-1, 1):
        values += list(sign * np.cumsum(rng.exponential(1e-5, LEVELS)))
        values += list(rng.exponential(1e4, 4 * LEVELS))
    return [f"{value:.8g}" for value in values]
