"""What the model reads before a decision, built only from what was known the day before.

A decision of day ``d`` is carried out at its open. The prompt holds the newest articles of the ``NEWS_DAYS`` days
before ``d`` and the close of the trading day before: nothing of day ``d`` itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from datetime import date, timedelta

from kubetuna_trial.task2.data import Market
from kubetuna_trial.task2.planted import Article

NEWS_DAYS = 10
ARTICLES = 3
CHARACTERS = 400
NO_NEWS = "- none"
ANSWER = "Score:"


class Prompts:
    """The prompts of a market for scores from ``-strength`` to ``strength``."""

    def __init__(self, market: Market, strength: int) -> None:
        self._market, self._strength = market, strength
        self._news: dict[str, list[Article]] = defaultdict(list)
        for article in market.world.news:
            self._news[article.ticker].append(article)
        self._dates = {ticker: [a.date for a in news] for ticker, news in self._news.items()}

    def of_day(self, day: int) -> list[str]:
        """One prompt for each ticker."""
        return [self.of(day, index) for index in range(len(self._market.world.tickers))]

    def of(self, day: int, index: int) -> str:
        """The prompt of a ticker on a day."""
        ticker = self._market.world.tickers[index]
        close = self._market.world.bars[index, day - 1, 3]
        articles = self.known(day, ticker)
        today = self._market.world.dates[day]
        lines = [f"- {_age(article, today)}: {_text(article)}" for article in articles] or [NO_NEWS]
        return prompt(ticker, lines, f"{close:.2f}", self._strength)

    def known(self, day: int, ticker: str) -> list[Article]:
        """The newest articles from strictly before the day, newest first."""
        today = date.fromisoformat(self._market.world.dates[day])
        dates = self._dates.get(ticker, [])
        first = bisect_left(dates, (today - timedelta(days=NEWS_DAYS)).isoformat())
        last = bisect_left(dates, today.isoformat())
        return self._news[ticker][max(first, last - ARTICLES) : last][::-1] if last > first else []


def prompt(ticker: str, lines: list[str], close: str, strength: int) -> str:
    """The text itself."""
    return (
        f"News about {ticker}:\n" + "\n".join(lines) + f"\nLast close: {close}\n"
        f"Rate how the news will move {ticker}, from -{strength} (falls) to {strength} (rises).\n{ANSWER}"
    )


def _age(article: Article, today: str) -> str:
    days = (date.fromisoformat(today) - date.fromisoformat(article.date)).days
    return "1 day ago" if days == 1 else f"{days} days ago"


def _text(article: Article) -> str:
    text = f"{article.title.rstrip('.')}. {article.summary}".strip() if article.title else article.summary
    return text if len(text) <= CHARACTERS else text[:CHARACTERS].rsplit(" ", 1)[0] + " ..."
