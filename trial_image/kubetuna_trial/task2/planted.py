"""Planted news and prices in the contest's own files, with a signal of known strength, or none.

Every ticker has a hidden mood of ±1 that flips with a chance of 6% a day. The return from one open to the next
is ``EFFECT`` times the mood of the day before, less the average over tickers (the market as a whole goes nowhere),
plus noise; articles of that day tell the mood, 95% of the time rightly. Some articles are about nothing, some,
filed under a ticker, are about another; some spells have no news at all. On the days of ``STORM`` prices go far,
and against the mood, as where good news is feared to raise interest rates: whoever trains on days too long ago
learns what is no longer true. ``shuffled`` deals the same articles out to other days and tickers: the control on
which whatever a model learns from the news is luck.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.task2 import lexicon

TICKERS = ("AAPL", "NVDA", "GOOG", "AMZN", "MSFT", "XOM", "WMT")
DAYS, FIRST_DAY, TRAIN_FILE = 1000, "2020-01-02", 0.7
FLIP, EFFECT, NOISE, COMMON = 0.06, 0.0045, 0.012, 0.003
# Shares of the days: a third of the latest 300 before the validation days, none of the latest 200.
STORM, STORM_EFFECT = (0.21, 0.31), -0.02
TRUTHFUL, WITH_NEWS, ABOUT_NOTHING, ABOUT_ANOTHER = 0.95, 0.85, 0.12, 0.06
FALLING_SILENT, SPEAKING_AGAIN = 0.015, 0.12
STOCK_COLUMNS = ("Date", "Ticker", "Open", "High", "Low", "Close", "Volume")
NEWS_COLUMNS = ("Date", "Stock_symbol", "Article_title", "Textrank_summary")


@dataclass(frozen=True, slots=True)
class Article:
    """News of a day, as the contest's file has it."""

    date: str
    ticker: str
    title: str
    summary: str


@dataclass(frozen=True, slots=True)
class World:
    """Dates, and per ticker and day: open, high, low, close, volume f64[tickers, days, 5]; all the news."""

    tickers: tuple[str, ...]
    dates: tuple[str, ...]
    bars: NDArray[np.float64]
    news: tuple[Article, ...]

    def until(self, days: int) -> World:
        """The first ``days`` of it."""
        last = self.dates[days - 1]
        news = tuple(a for a in self.news if a.date <= last)
        return World(self.tickers, self.dates[:days], self.bars[:, :days], news)


def planted_world(seed: int, days: int = DAYS, shuffled: bool = False) -> World:
    """Generate it: one seed, one world; shuffled or not, its prices are the same."""
    rng = np.random.default_rng(seed)
    dates = tuple(str(day) for day in np.busday_offset(FIRST_DAY, np.arange(days), roll="forward"))
    mood = _moods(rng, days)
    bars = _bars(rng, mood)
    news = _news(rng, mood, dates)
    if shuffled:
        order = rng.permutation(len(news))
        news = [
            Article(at.date, at.ticker, news[i].title.replace(news[i].ticker, at.ticker),
                    news[i].summary.replace(news[i].ticker, at.ticker))
            for at, i in zip(news, order, strict=True)
        ]  # fmt: skip
    return World(TICKERS, dates, bars, tuple(news))


def _moods(rng: np.random.Generator, days: int) -> NDArray[np.int64]:
    flips = np.where(rng.random((len(TICKERS), days)) < FLIP, -1, 1)
    flips[:, 0] = rng.choice([-1, 1], len(TICKERS))
    return np.asarray(np.cumprod(flips, axis=1), dtype=np.int64)


def _effect(days: int) -> NDArray[np.float64]:
    """What the mood of each day is worth."""
    first, last = (int(share * days) for share in STORM)
    day = np.arange(days)
    return np.where((day >= first) & (day < last), STORM_EFFECT, EFFECT)


def _bars(rng: np.random.Generator, mood: NDArray[np.int64]) -> NDArray[np.float64]:
    count, days = mood.shape
    noise = NOISE * rng.standard_normal((count, days)) + COMMON * rng.standard_normal(days)
    driven = _effect(days) * (mood - mood.mean(axis=0))
    moves = noise + np.concatenate([np.zeros((count, 1)), driven[:, :-1]], axis=1)
    logs = np.log(rng.uniform(40, 300, (count, 1))) + np.concatenate(
        [np.zeros((count, 1)), np.cumsum(moves[:, :-1], axis=1)], axis=1
    )
    opens = np.exp(logs)
    closes = np.exp(logs + 0.7 * moves + 0.002 * rng.standard_normal((count, days)))
    spread = 1 + 0.004 * rng.random((2, count, days))
    volume = np.round(np.exp(rng.normal(16, 0.3, (count, days))))
    highs, lows = np.maximum(opens, closes) * spread[0], np.minimum(opens, closes) / spread[1]
    prices = np.stack([opens, highs, lows, closes], axis=2).round(4)
    return np.concatenate([prices, volume[:, :, None]], axis=2)


def _news(rng: np.random.Generator, mood: NDArray[np.int64], dates: tuple[str, ...]) -> list[Article]:
    news, silent = [], np.zeros(len(TICKERS), dtype=bool)
    for day, date in enumerate(dates):
        chance = rng.random(len(TICKERS))
        silent = np.where(silent, chance >= SPEAKING_AGAIN, chance < FALLING_SILENT)
        for index, ticker in enumerate(TICKERS):
            if not silent[index] and rng.random() < WITH_NEWS:
                news.append(Article(date, ticker, *_article(rng, index, mood[:, day])))
    return news


def _article(rng: np.random.Generator, index: int, mood: NDArray[np.int64]) -> tuple[str, str]:
    about, kind = index, rng.random()
    if kind < ABOUT_NOTHING:
        return lexicon.article(rng, TICKERS[index], 0)
    if kind < ABOUT_NOTHING + ABOUT_ANOTHER:
        about = int((index + rng.integers(1, len(TICKERS))) % len(TICKERS))
    told = int(mood[about]) * (1 if rng.random() < TRUTHFUL else -1)
    return lexicon.article(rng, TICKERS[about], told)


def write_contest_files(folder: Path, seed: int, shuffled: bool, days: int = DAYS) -> list[Path]:
    """Write ``train/`` (the first 70% of the days) and ``test/`` as the contest lays them out."""
    world = planted_world(seed, days, shuffled)
    cut = int(len(world.dates) * TRAIN_FILE)
    written = []
    for part, first, last in (("train", 0, cut), ("test", cut, len(world.dates))):
        within = set(world.dates[first:last])
        news = [[a.date, a.ticker, a.title, a.summary] for a in world.news if a.date in within]
        bars = [
            [date, ticker, *map(repr, world.bars[t, day].tolist())]
            for day, date in enumerate(world.dates) if first <= day < last
            for t, ticker in enumerate(world.tickers)
        ]  # fmt: skip
        for kind, columns, rows in (("stocks", STOCK_COLUMNS, bars), ("news", NEWS_COLUMNS, news)):
            path = folder / part / f"task2_{kind}_{part}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([columns, *rows])
            written.append(path)
    return written
