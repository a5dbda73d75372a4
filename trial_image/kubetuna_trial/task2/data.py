"""The market that a trial sees: days, prices and news of the train files, split by date into train and validation.

The last quarter of the days is validation. An embargo as long as the longest ``lookahead`` lies before it, so
that no reward of training is paid by a validation price. Test days are in files of their own, which only
``with_test`` reads, on the explicit demand of a person who judges a finished model.

With a fold (``kubetuna_trial.folds``) the days of the train files are cut into equal blocks instead: it trains on
all before its block, less the embargo at their end, and is validated on the block. Later days are not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold
from kubetuna_trial.marks import Grain, Hashes, sketch, stretches
from kubetuna_trial.task2.files import Bar, found_in, read_news, read_stocks
from kubetuna_trial.task2.planted import DAYS, TRAIN_FILE, Article, World, planted_world
from kubetuna_trial.wire import say

VALIDATION = 0.25
LONGEST_LOOKAHEAD = 7
EXIT_DAYS = 3
FEWEST_DAYS = 60
SHORTEST_BLOCK = 20
REPEATED = 10
# Days by which prices are known; of how many tickers, by how many marks each.
GRAIN, KNOWN_TICKERS, MARKS = Grain(1, 1e-3), 12, 24
# Parts that shares are usually split into; no night's news moves a large company by so even a factor.
SPLITS, LIKE_A_SPLIT = range(2, 51), 0.08
# Of these a night's news may be the reason.
UNEVEN, EXACTLY = ((3, 2), (4, 3), (5, 4)), 0.02


@dataclass(frozen=True, slots=True)
class Market:
    """A world, and which of its days are trained on and judged. All days are indices of ``dates``."""

    world: World
    train: range
    window: range
    digest: str
    source: str
    fold: Fold | None = None

    @property
    def opens(self) -> NDArray[np.float64]:
        """Prices at which trades are done, f64[tickers, days]."""
        return self.world.bars[:, :, 0]

    def marks(self) -> dict[str, Hashes]:
        """By ticker the hashes of the stretches of its opens, by which they are known wherever they come from."""
        named = sorted(zip(self.world.tickers, self.opens, strict=True), key=lambda pair: pair[0])
        return {ticker: stretches(opens, GRAIN) for ticker, opens in named}

    def sketches(self) -> dict[str, list[int]]:
        """The same, short."""
        return {ticker: sketch(marks, MARKS) for ticker, marks in [*self.marks().items()][:KNOWN_TICKERS]}

    def future_return(self, days: NDArray[np.int64], lookahead: int) -> NDArray[np.float64]:
        """From the open of a decision's day to the open ``lookahead`` trading days later, f64[days, tickers]."""
        return np.asarray((self.opens[:, days + lookahead] / self.opens[:, days] - 1).T)


def planted_market(
    seed: int, shuffled: bool = False, days: int = DAYS, test: bool = False, fold: Fold | None = None
) -> Market:
    """The train part of a planted world; its test days are generated and, without ``test``, thrown away unseen."""
    world, cut = planted_world(seed, days, shuffled), int(days * TRAIN_FILE)
    source = f"planted seed={seed}{' shuffled news' if shuffled else ''}"
    return _with_test(world, cut, source) if test else market_of(world.until(cut), source, fold)


def folder_market(folder: Path, tickers: Sequence[str] | None = None, fold: Fold | None = None) -> Market:
    """The train files of a folder that is laid out as the contest's."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder")
    return file_market(found_in(folder, "stocks"), found_in(folder, "news"), tickers, fold)


def folder_market_with_test(folder: Path, tickers: Sequence[str] | None = None) -> Market:
    """The same, to be judged on the days of the test files."""
    train = folder_market(folder, tickers)
    stocks, news = found_in(folder, "stocks", "test"), found_in(folder, "news", "test")
    bars = read_stocks(found_in(folder, "stocks")) + read_stocks(stocks)
    articles = _saying_something(read_news(found_in(folder, "news")) + read_news(news))
    if min((bar[0] for bar in bars if bar[0] not in train.world.dates), default="") <= train.world.dates[-1]:
        raise InputError(f"{stocks}: must hold days after {train.world.dates[-1]}, the last of the train file")
    world = _world(stocks, bars, articles, train.world.tickers)
    return _with_test(world, len(train.world.dates), f"{train.source} {stocks.name} {news.name}")


def _with_test(world: World, cut: int, source: str) -> Market:
    world, last = replace(world, news=_told_once(world.news)), len(world.dates) - EXIT_DAYS
    if last <= cut:
        raise InputError(
            f"{source}: {len(world.dates) - cut} days of test are too few; at least {EXIT_DAYS + 1} are needed"
        )
    return Market(world, market_of(world.until(cut), source).train, range(cut, last), _digest(world), source)


def file_market(stocks: Path, news: Path, tickers: Sequence[str] | None = None, fold: Fold | None = None) -> Market:
    """The contest's files, checked up front. Raises InputError where they cannot be used."""
    bars, articles = read_stocks(stocks), _saying_something(read_news(news))
    known, told = {bar[1] for bar in bars}, {article.ticker for article in articles}
    wanted = tuple(dict.fromkeys(tickers)) if tickers else tuple(dict.fromkeys(bar[1] for bar in bars))
    for ticker in (*wanted, *(() if tickers else sorted(told))):
        if ticker not in known:
            raise InputError(f"{stocks}: has no prices of {ticker}; {_remedy(known & told)}")
        if ticker not in told:
            raise InputError(f"{news}: has no news of {ticker}; {_remedy(known & told)}")
    if not wanted:
        raise InputError(f"{stocks}: has no rows")
    world = _world(stocks, bars, articles, wanted)
    return market_of(world, f"{stocks.name} {news.name}", fold)


def _remedy(usable: set[str]) -> str:
    if not usable:
        return "no ticker has both prices and news"
    return f"to use only those that have both, say --tickers {','.join(sorted(usable))}"


def _world(path: Path, bars: Sequence[Bar], articles: Sequence[Article], tickers: tuple[str, ...]) -> World:
    index = {ticker: number for number, ticker in enumerate(tickers)}
    dates = tuple(sorted({bar[0] for bar in bars if bar[1] in index}))
    day_of = {name: number for number, name in enumerate(dates)}
    table = np.full((len(tickers), len(dates), 5), np.nan)
    for on, ticker, values in bars:
        if ticker not in index:
            continue
        place = (index[ticker], day_of[on])
        if not np.isnan(table[place][0]):
            raise InputError(f"{path}: has two rows of {ticker} on {on}")
        table[place] = values
    missing = np.argwhere(np.isnan(table[:, :, 0]))
    if len(missing):
        which, day = (int(number) for number in missing[0])
        raise InputError(
            f"{path}: {tickers[which]} has no row on {dates[day]}; every ticker needs one on each of the "
            f"{len(dates)} dates (or leave it out with --tickers)"
        )
    _refuse_splits(path, tickers, dates, table)
    news = tuple(a for a in articles if a.ticker in index and a.date <= dates[-1])
    return World(tickers, dates, table, news)


def _saying_something(articles: Sequence[Article]) -> list[Article]:
    kept = [a for a in articles if a.title or a.summary]
    if len(kept) < len(articles):
        say(f"warning: {len(articles) - len(kept)} articles have neither a title nor a summary and are left out")
    return kept


def _refuse_splits(path: Path, tickers: Sequence[str], dates: Sequence[str], table: NDArray[np.float64]) -> None:
    """Raise InputError where a price falls or rises over a night as by a split of shares, which is no return."""
    jumps = table[:, 1:, 0] / table[:, :-1, 3]
    for parts in SPLITS:
        for word, ratio in ((f"{parts}:1 split", 1 / parts), (f"1:{parts} reverse split", float(parts))):
            found = np.argwhere(np.abs(jumps / ratio - 1) < LIKE_A_SPLIT)
            if len(found):
                which, day = (int(number) for number in found[0])
                left = f"{jumps[which, day]:.3g} of the close before, as after a {word}"
                raise InputError(
                    f"{path}: {tickers[which]} opens on {dates[day + 1]} at {left}; "
                    f"multiply its earlier prices by {ratio:.3g}, or leave it out with --tickers"
                )
    for new, old in UNEVEN:
        for word, ratio in ((f"{new}:{old} split", old / new), (f"{old}:{new} reverse split", new / old)):
            for which, day in np.argwhere(np.abs(jumps / ratio - 1) < EXACTLY):
                say(
                    f"warning: {path}: {tickers[which]} opens on {dates[day + 1]} at {jumps[which, day]:.3g} of "
                    f"the close before: if that was a {word}, multiply its earlier prices by {ratio:.3g}"
                )


def _told_once(articles: Sequence[Article]) -> tuple[Article, ...]:
    """Articles in the order of dates; one that says the same of the same within ``REPEATED`` days is left out."""
    kept: list[Article] = []
    told: dict[tuple[str, str, str], int] = {}
    for article in sorted(articles, key=lambda a: a.date):
        what, day = (article.ticker, article.title, article.summary), date.fromisoformat(article.date).toordinal()
        if day - told.get(what, -REPEATED) >= REPEATED:
            kept.append(article)
            told[what] = day
    return tuple(kept)


def market_of(world: World, source: str, fold: Fold | None = None) -> Market:
    """Split a world by date."""
    count = len(world.dates)
    if count < FEWEST_DAYS:
        raise InputError(f"{source}: {count} days are too few; at least {FEWEST_DAYS} are needed")
    border, stop = fold.cut(count, SHORTEST_BLOCK, "days") if fold else (int(count * (1 - VALIDATION)), count)
    known = world.until(stop) if stop < count else world
    known = replace(known, news=_told_once(known.news))
    train = range(1, border - LONGEST_LOOKAHEAD)
    return Market(known, train, range(border, stop - EXIT_DAYS), _digest(known), source, fold)


def _digest(world: World) -> str:
    text = repr((world.tickers, world.dates, [(a.date, a.ticker, a.title, a.summary) for a in world.news]))
    return hashlib.sha256(text.encode() + np.ascontiguousarray(world.bars).tobytes()).hexdigest()
