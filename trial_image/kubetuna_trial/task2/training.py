"""A trial: train, report the model at equal shares of its steps, resume anywhere.

Every trial reports as often, at the same shares of its own ``max_train_steps``, so that a pruner compares like with
like. A checkpoint follows a report where it takes a small share of the time; SIGTERM saves after the step at hand.
What is printed twice after a restart is equal to the last digit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task2.data import Market
from kubetuna_trial.task2.evaluation import Judgement, Scores, baselines, joined, judge
from kubetuna_trial.task2.learning import Learner, Method
from kubetuna_trial.task2.loading import Loaded, Source
from kubetuna_trial.task2.parameters import Parameters
from kubetuna_trial.task2.policy import Policy, Stopped, encode, new_policy
from kubetuna_trial.task2.prompts import Prompting, Prompts
from kubetuna_trial.task2.protocol import Protocol, protocol_of
from kubetuna_trial.task2.room import Room, room_for, shape_of
from kubetuna_trial.task2.scores import score_tree
from kubetuna_trial.task2.words import word_scores

Asked = Callable[[], bool]
# Of the days, one in so many; their longest prompt is nearly that of all.
SAMPLED, MARGIN = 10, 1.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a trial does. ``per_pass``: prompts that go through the model at once."""

    params: Parameters
    seed: int
    source: Source
    device: str
    reports: int = 10
    per_pass: int = 64
    method: Method = field(default_factory=Method)
    prompting: Prompting = field(default_factory=Prompting)

    @property
    def asking(self) -> Prompting:
        """How the model is asked, with what is tuned of it."""
        read = self.params
        return replace(
            self.prompting, articles=read.articles, news_days=read.news_days,
            characters=read.article_characters, tokens=read.prompt_tokens,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """The model at a share of its training; ``step`` counts from 1. The last one has what it must beat."""

    step: int
    judgement: Judgement
    beside: Mapping[str, float]

    def metrics(self) -> dict[str, float]:
        """The figures that a tuner may ask for."""
        return figures(self.judgement) | dict(self.beside)


def figures(found: Judgement) -> dict[str, float]:
    """A judgement's figures under the names that the contest's guide gives them."""
    return {
        "cumulative_return": found.performance.total_return,
        "mean_reward": found.mean_reward,
        "sharpe_ratio": found.performance.sharpe_ratio,
        "max_drawdown": found.performance.max_drawdown,
        "hit_rate": found.hit_rate,
    }


class Trial:
    """The training of one model. ``report`` is called at each share, ``stopped`` asked after each step."""

    def __init__(
        self,
        plan: Plan,
        loaded: Loaded,
        market: Market,
        checkpoints: Callable[[str], Checkpoints],
        room: Room | None = None,
    ) -> None:
        self.plan, self.market = plan, market
        self.protocol, self.backend = protocol_of(market, plan.asking), loaded.backend
        self._checkpoints = checkpoints(configuration(plan, self.protocol, loaded.backend))
        per_pass = room.per_pass if room else plan.per_pass
        self.policy = new_policy(loaded, plan.source, plan.params, plan.seed, plan.device, per_pass, plan.asking)
        self.learner = Learner(self.policy, market, plan.params, plan.method, plan.seed)
        if room and room.recompute:
            self.learner.recompute()
        self.reported = 0
        state = self._checkpoints.load()
        if state is not None:
            self.reported = state["reported"]
            self.learner.restore(state["learner"])

    def run(self, report: Callable[[Report], None], stopped: Asked) -> bool:
        """Train to the end: True, or False where it was stopped (and saved)."""
        try:
            for step in range(self.reported + 1, self.plan.reports + 1):
                self.train(step, stopped)
                report(self._report(step, stopped))
                self.reported = step
                self._checkpoints.offer(*self._state())
        except Stopped:
            self.save()
            return False
        return True

    def train(self, step: int, stopped: Asked = lambda: False) -> None:
        """Train to the share of a report. Raises Stopped."""
        while self.learner.done < self.plan.params.max_train_steps * step // self.plan.reports:
            self.learner.advance(stopped)
            if stopped():
                raise Stopped

    def _report(self, step: int, stopped: Asked) -> Report:
        if step < self.plan.reports:
            return Report(step, self.judge_share(stopped), {})
        days = self.protocol.days()
        found = self.judge(days, stopped)
        with self.policy.untuned():
            untuned = self.judge(days, stopped)
        bag = judge(word_scores(self.market, self.protocol, days), self.market, self.protocol, days)
        beside = {
            "untuned_hit_rate": untuned.hit_rate,
            "untuned_return": untuned.performance.total_return,
            **baselines(self.market, self.protocol, days),
            "bag_of_words_return": bag.performance.total_return,
        }
        return Report(step, found, beside)

    def judge(self, days: range, stopped: Asked = lambda: False) -> Judgement:
        """The model as it is now, by the protocol."""
        return judge(scores(self.policy, self.market, days, stopped), self.market, self.protocol, days)

    def judge_share(self, stopped: Asked = lambda: False) -> Judgement:
        """The model as it is now, by the days of a report before the last, on the whole window's scale."""
        blocks = self.protocol.reported()
        parts = [self.judge(days, stopped) for days in blocks]
        return joined(parts, len(self.protocol.days()) / sum(map(len, blocks)))

    def save(self) -> None:
        """Write a checkpoint, whatever time it takes."""
        self._checkpoints.save(*self._state())

    def _state(self) -> tuple[int, dict[str, Any]]:
        number = self.learner.done * (self.plan.reports + 1) + self.reported
        return number, {"reported": self.reported, "learner": self.learner.state()}


def planned(plan: Plan, market: Market, tokenizer: Any, held: str) -> Room:
    """How the trial fits into memory, with weights ``held`` so, by a tenth of its prompts. Raises MemoryError."""
    prompts, days = Prompts(market, plan.params.signal_strength, plan.asking), (*market.train, *market.window)
    sample = (text for day in days[::SAMPLED] for text in prompts.of_day(day))
    # One by one: many at once take memory before it is known whether there is any.
    most = max(len(encode(tokenizer, [text], plan.asking)[0]) for text in sample)
    longest = min(plan.asking.tokens, math.ceil(MARGIN * most))
    nodes = len(score_tree(tokenizer, plan.params.signal_strength).nodes)
    shape = shape_of(plan.source)
    return room_for(shape, plan.params.lora_r, held, plan.device, longest, nodes, plan.per_pass)


def scores(policy: Policy, market: Market, days: range, stopped: Asked = lambda: False) -> Scores:
    """What a policy says on each of some days about each ticker. Raises FloatingPointError, Stopped."""
    prompts = Prompts(market, policy.strength, policy.prompting)
    texts = [text for day in days for text in prompts.of_day(day)]
    found = policy.log_probabilities(texts, stopped).cpu().double()
    if not bool(torch.isfinite(found).all()):
        raise FloatingPointError("training diverged: a score has no probability")
    shares = torch.arange(-policy.strength, policy.strength + 1, dtype=torch.float64) / policy.strength
    shape = (len(days), len(market.world.tickers))
    greedy, mean = shares[found.argmax(dim=1)], found.exp() @ shares
    return Scores(greedy.view(shape).numpy(), mean.view(shape).numpy())


def configuration(plan: Plan, protocol: Protocol, backend: str) -> str:
    """What must be equal for one attempt to go on from another's checkpoint."""
    what = {name: value for name, value in asdict(plan).items() if name != "source"}
    text = json.dumps([what, plan.source.identity, protocol.digest, backend], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
