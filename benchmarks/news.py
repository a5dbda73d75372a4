"""Task 2's training step against the starter kit's way, one ticker at a time; and what tuning is worth there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import news_tuning
from benchmarks.measure import Row, medians, seconds, times
from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task2.data import Market, planted_market
from kubetuna_trial.task2.learning import Method
from kubetuna_trial.task2.loading import load, source_of
from kubetuna_trial.task2.parameters import parse_parameters
from kubetuna_trial.task2.prompts import Prompts
from kubetuna_trial.task2.rewards import starter_kit_rewards
from kubetuna_trial.task2.training import Plan, Trial

SAMPLED = 5
DAYS = 4
STEPS = 8


def rows(quick: bool) -> list[Row]:
    """Seconds for the same days, tokens of prompts that were learned from per second, and the worth of tuning."""
    torch.set_num_threads(1)
    market = planted_market(7)
    days, rounds = DAYS, 3 if quick else 7
    ours, theirs = _trial(market), StarterKit(market)
    prompts = [text for day in ours.learner.days(0)[:days] for text in theirs.prompts.of_day(day)]
    tokens = sum(map(len, ours.policy.tokens(prompts)))
    found = medians(
        {
            "ours": lambda: seconds(times(STEPS, ours.learner.advance)) / STEPS,
            "starter kit": lambda: seconds(lambda: theirs.through(ours.learner.days(0)[:days])),
        },
        rounds,
    )
    (mine, spread), (other, others) = found["ours"], found["starter kit"]
    note = f"{days} days of {len(market.world.tickers)} tickers, tiny model, one CPU thread"
    return [
        Row("task 2: training step", mine, "s", spread, note),
        Row("task 2: the starter kit's way, as many prompts", other, "s", others, note),
        Row("task 2: prompt tokens learned from a second", tokens / mine, "1/s", note="each prompt counted once"),
        Row("task 2: the starter kit's way", tokens / other, "1/s", note="each prompt counted once"),
        Row("task 2: over the starter kit's way", other / mine, "x", note="the bar is 10x"),
        *news_tuning.rows(quick),
    ]


def _trial(market: Market) -> Trial:
    source = source_of(None, None, False)
    plan = Plan(parse_parameters({}), 1, source, "cpu", method=Method(days=DAYS))
    return Trial(plan, load(source, None, "cpu"), market, lambda key: Checkpoints(None, key))


class StarterKit:
    """The contest's loop: sample five tokens from the whole vocabulary, the prompt read anew for each."""

    def __init__(self, market: Market) -> None:
        self.prompts = Prompts(market, 10)
        self._market, self._policy = market, _trial(market).policy
        self._optimizer = torch.optim.Adam(list(self._policy.weights.values()), lr=1e-5)

    def through(self, days: Iterable[int]) -> None:
        """Day after day."""
        for day in days:
            self.step(day)

    def step(self, day: int) -> None:
        """A day: every ticker in turn, then one update by the day's shared reward."""
        moves = self._market.future_return(np.array([day]), 3)[0]
        asked = [self._ask(tokens) for tokens in self._policy.tokens(self.prompts.of_day(day))]
        scores = np.array([score for score, _ in asked])
        reward = float(starter_kit_rewards(scores / 10, moves).sum())
        loss = -torch.stack([chance for _, chance in asked]).mean() * reward
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    def _ask(self, tokens: list[int]) -> tuple[float, Tensor]:
        model: Any = self._policy.model
        read, chances = torch.tensor([tokens]), []
        for _ in range(SAMPLED):
            logits = model(input_ids=read, use_cache=False).logits[0, -1]
            chance = torch.log_softmax(logits, dim=-1)
            drawn = torch.multinomial(chance.exp(), 1)
            chances.append(chance[drawn])
            read = torch.cat([read, drawn[None]], dim=1)
        text = self._policy.tokenizer.decode(read[0, -SAMPLED:]).strip().split(" ")[0]
        score = float(text) if text.lstrip("-").isdigit() else 0.0
        return score, torch.cat(chances).sum()
