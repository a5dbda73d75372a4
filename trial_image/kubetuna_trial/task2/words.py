"""The rival that needs no language model: a bag of words, each worth what prices did after it in the train days.

A word's worth is the mean sign of the moves that followed it, shrunk where it is rare. A score is the mean worth of
the words that a prompt's articles hold. A model that does not beat it has learned nothing that counting does not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from kubetuna_trial.metrics import Floats
from kubetuna_trial.task2.data import Market
from kubetuna_trial.task2.evaluation import Scores
from kubetuna_trial.task2.planted import Article
from kubetuna_trial.task2.prompts import Prompts
from kubetuna_trial.task2.protocol import Protocol

_WORD = re.compile(r"[^\W\d_]{3,}")
# Days with a word that its worth is taken to rest on beforehand, all without a move.
SHRINK = 20.0


def word_scores(market: Market, protocol: Protocol, days: range) -> Scores:
    """The scores of ``days`` as shares of the scale; its size is that of the train days' own scores."""
    prompts = Prompts(market, 1)
    moves = np.sign(market.future_return(np.array(market.train), protocol.exit_days))
    bags = _bags(prompts, market, market.train)
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for bag, move in zip((b for row in bags for b in row), moves.ravel(), strict=True):
        for word in bag:
            sums[word] += move
            counts[word] += 1
    worth = {word: sums[word] / (counts[word] + SHRINK) for word in counts}
    usual = float(np.std(_means(bags, worth))) or 1.0
    shares = np.clip(_means(_bags(prompts, market, days), worth) / (2 * usual), -1.0, 1.0)
    return Scores(shares, shares)


def _bags(prompts: Prompts, market: Market, days: range) -> list[list[frozenset[str]]]:
    return [[_bag(prompts.known(day, ticker)) for ticker in market.world.tickers] for day in days]


def _bag(articles: Sequence[Article]) -> frozenset[str]:
    return frozenset(_WORD.findall(" ".join(f"{a.title} {a.summary}" for a in articles).casefold()))


def _means(bags: list[list[frozenset[str]]], worth: dict[str, float]) -> Floats:
    return np.array([[sum(worth.get(w, 0.0) for w in bag) / max(1, len(bag)) for bag in row] for row in bags])
