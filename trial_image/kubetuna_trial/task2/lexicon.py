"""The language of planted news: what good, bad and empty headlines say, and the sentences that say it.

The tiny model's tokenizer and warm start use the same sentences, as a real model has read the financial press.
"""

from __future__ import annotations

import numpy as np

GOOD = (
    "beats profit forecasts", "raises its outlook", "posts record revenue", "wins a major contract",
    "soars on strong demand", "surges after an upgrade", "reports robust growth", "gains market share",
    "jumps on upbeat earnings", "lifts its dividend", "announces a share buyback", "expands margins",
    "rallies on a breakthrough", "secures regulatory approval", "exceeds expectations", "sees sales accelerate",
    "climbs on an optimistic guidance", "lands a lucrative partnership", "rebounds with solid results",
    "outperforms its rivals", "tops estimates", "rises on better than expected profit", "is upgraded to buy",
    "delivers impressive cash flow",
)  # fmt: skip
BAD = (
    "misses profit forecasts", "cuts its outlook", "posts a surprise loss", "loses a major contract",
    "plunges on weak demand", "tumbles after a downgrade", "reports shrinking sales", "cedes market share",
    "drops on poor earnings", "suspends its dividend", "announces mass layoffs", "warns of falling margins",
    "sinks on a product recall", "faces a fraud investigation", "disappoints investors", "sees orders collapse",
    "slides on a gloomy guidance", "is hit by a costly lawsuit", "slumps with dismal results",
    "lags its rivals", "falls short of estimates", "declines on worse than expected profit",
    "is downgraded to sell", "burns through its cash",
)  # fmt: skip
EMPTY = (
    "holds its annual meeting", "names a new spokesperson", "moves to another floor", "updates its website",
    "attends an industry conference", "publishes its calendar", "opens a visitor center",
    "schedules an earnings call", "files a routine form", "celebrates an anniversary",
)  # fmt: skip
OPENINGS = (
    "Shares in focus: {}.",
    "Analysts note that {}.",
    "Market watch: {}.",
    "Traders hear {}.",
    "Update: {}.",
)


def phrase(rng: np.random.Generator, polarity: int) -> str:
    """What happened: good (1), bad (-1) or of no consequence (0)."""
    words = {1: GOOD, -1: BAD, 0: EMPTY}[polarity]
    return words[int(rng.integers(len(words)))]


def article(rng: np.random.Generator, name: str, polarity: int) -> tuple[str, str]:
    """A headline and a summary about ``name``."""
    opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
    return f"{name} {phrase(rng, polarity)}", opening.format(f"{name} {phrase(rng, polarity)}")
