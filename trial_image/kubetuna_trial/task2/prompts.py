"""What the model reads before a decision, built only from what was known the day before.

A decision of day ``d`` is carried out at its open. The prompt holds the newest articles of some days before ``d``
and the close of the trading day before: nothing of day ``d`` itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

from kubetuna_trial.task2.data import Market
from kubetuna_trial.task2.planted import Article

NO_NEWS = "- none"
TEMPLATE = (
    "News about {ticker}:\n{news}\nLast close: {close}\n"
    "Rate how the news will move {ticker}, from -{strength} (falls) to {strength} (rises)."
)


@dataclass(frozen=True, slots=True)
class Prompting:
    """How a model is asked.

    ``template`` holds ``{ticker}``, ``{news}``, ``{close}`` and ``{strength}``, ``line`` of an article ``{age}``
    and ``{text}``; ``answer`` is what the score follows. ``articles``, the newest of ``news_days`` days, are cut
    after ``characters`` each, and the whole after ``tokens``. ``chat``: as a message in the model's own form.
    """

    template: str = TEMPLATE
    line: str = "- {age}: {text}"
    answer: str = "Score:"
    articles: int = 3
    news_days: int = 10
    characters: int = 400
    tokens: int = 1024
    chat: bool = False

    def question(self, ticker: str, lines: list[str], close: str, strength: int) -> str:
        """The text itself, ``answer`` included."""
        values = {"ticker": ticker, "news": "\n".join(lines), "close": close, "strength": str(strength)}
        return f"{filled(self.template, values)}\n{self.answer}"


def filled(template: str, values: dict[str, str]) -> str:
    """A template with its names replaced; what a value holds is never taken for a name."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


class Prompts:
    """The prompts of a market for scores from ``-strength`` to ``strength``."""

    def __init__(self, market: Market, strength: int, prompting: Prompting | None = None) -> None:
        self._market, self._strength, self._how = market, strength, prompting or Prompting()
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
        lines = [self._line(article, self._market.world.dates[day]) for article in self.known(day, ticker)]
        return self._how.question(ticker, lines or [NO_NEWS], f"{close:.2f}", self._strength)

    def known(self, day: int, ticker: str) -> list[Article]:
        """The newest articles from strictly before the day, newest first."""
        today = date.fromisoformat(self._market.world.dates[day])
        dates = self._dates.get(ticker, [])
        first = bisect_left(dates, (today - timedelta(days=self._how.news_days)).isoformat())
        last = bisect_left(dates, today.isoformat())
        return self._news[ticker][max(first, last - self._how.articles) : last][::-1] if last > first else []

    def _line(self, article: Article, today: str) -> str:
        return filled(self._how.line, {"age": _age(article, today), "text": _text(article, self._how.characters)})


def prompt(ticker: str, lines: list[str], close: str, strength: int) -> str:
    """The text as it is where nobody says otherwise."""
    return Prompting().question(ticker, lines, close, strength)


def _age(article: Article, today: str) -> str:
    days = (date.fromisoformat(today) - date.fromisoformat(article.date)).days
    return "1 day ago" if days == 1 else f"{days} days ago"


def _text(article: Article, characters: int) -> str:
    text = f"{article.title.rstrip('.')}. {article.summary}".strip() if article.title else article.summary
    return text if len(text) <= characters else text[:characters].rsplit(" ", 1)[0] + " ..."
