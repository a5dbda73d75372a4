"""Synthetic bitcoin data in the contest's own file format, with a signal of known strength, or none.

The signal is an AR(1) process: ``s[t+1] = rho s[t] + sqrt(1 - rho²) e``; the log return of the next second is
``sigma (snr s[t] + e')``. Four of the eight factors see the signal through noise (correlation 0.7), four see
nothing. With ``snr=0`` the factors look the same and are worthless: the control on which a winner is luck.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PERSISTENCE = 0.97
SIGMA = 0.25e-4
INFORMED = 4
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
    shocks = rng.standard_normal(rows) * np.sqrt(1 - PERSISTENCE**2)
    signal = np.empty(rows)
    level = rng.standard_normal()
    for t in range(rows):
        level = PERSISTENCE * level + shocks[t]
        signal[t] = level
    moves = SIGMA * (snr * signal[:-1] + rng.standard_normal(rows - 1))
    prices = START_PRICE * np.exp(np.concatenate([[0.0], np.cumsum(moves)]))
    noise = rng.standard_normal((rows, FACTORS))
    factors = noise.copy()
    factors[:, :INFORMED] = CORRELATION * signal[:, None] + np.sqrt(1 - CORRELATION**2) * noise[:, :INFORMED]
    return Series(prices, factors.astype(np.float32))


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
