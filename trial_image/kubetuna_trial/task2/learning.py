"""One training step: ask, sample, let the market pay, and follow the gradient.

Each prompt gets ``samples`` scores from the very distribution whose gradient is followed, LoRA's dropout included;
so one pass serves both. What a score earned beyond the average of its siblings is its advantage: the ticker's and
the day's own luck cancels. The divergence from the base model is exact, since every score's probability is known,
and asked for on every fourth prompt, since it costs a pass; ``reward_scaling`` weighs the market against it. What
is random in a step depends on the seed and its number alone, so that it needs nothing from the steps before but
the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kubetuna_trial.memory import is_out_of_memory
from kubetuna_trial.task2.data import Market
from kubetuna_trial.task2.parameters import Parameters
from kubetuna_trial.task2.policy import Stopped, Tuned, check_gradients, derived
from kubetuna_trial.task2.prompts import Prompts
from kubetuna_trial.task2.rewards import rewards, starter_kit_rewards
from kubetuna_trial.wire import say

LARGEST_GRADIENT = 1.0
STARTER_KIT_SCALE = 10
COMPARED = 4


@dataclass(frozen=True, slots=True)
class Method:
    """How a step learns. ``compat``: the starter kit's plain REINFORCE, one day a step."""

    days: int = 4
    samples: int = 16
    kl: float = 0.02
    compat: bool = False


class Learner:
    """The state of training: LoRA weights, optimiser, and how many steps were done."""

    def __init__(self, policy: Tuned, market: Market, params: Parameters, method: Method, seed: int) -> None:
        self.policy, self.done = policy, 0
        self._market, self._params, self._method, self._seed = market, params, method, seed
        self._prompts = Prompts(market, params.signal_strength, policy.prompting)
        self._recent = market.train[-params.max_env_steps :]
        self._order = lru_cache(maxsize=2)(self._shuffled)
        kind = torch.optim.Adam if method.compat else torch.optim.AdamW
        self._optimizer = kind(list(policy.weights.values()), lr=params.learning_rate)
        self._checkpointing = False

    def advance(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Do the next step, in smaller passes where memory demands it. Raises Stopped, FloatingPointError."""
        while True:
            try:
                self._step(self.done, stopped)
                break
            except Exception as error:
                if not is_out_of_memory(error) or not self._make_room():
                    raise
        self.done += 1

    def state(self) -> dict[str, Any]:
        """All that a later attempt needs to go on exactly here."""
        return {
            "done": self.done,
            "weights": self.policy.state(),
            "optimizer": self._optimizer.state_dict(),
            "per_pass": self.policy.per_pass,
            "checkpointing": self._checkpointing,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        # A machine with less memory may go on where a larger one was.
        self.done, self.policy.per_pass = state["done"], min(state["per_pass"], self.policy.per_pass)
        self.policy.restore(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        if state["checkpointing"]:
            self.recompute()

    def days(self, number: int) -> list[int]:
        """The days of a step: all recent ones in a random order, then in another."""
        count, length = 1 if self._method.compat else self._method.days, len(self._recent)
        return [self._order(i // length)[i % length] for i in range(number * count, (number + 1) * count)]

    def _shuffled(self, cycle: int) -> list[int]:
        order = np.random.default_rng(derived(self._seed, "days", cycle)).permutation(len(self._recent))
        return [self._recent[int(i)] for i in order]

    def _step(self, number: int, stopped: Callable[[], bool]) -> None:
        days = self.days(number)
        prompts = [text for day in days for text in self._prompts.of_day(day)]
        moves = self._market.future_return(np.array(days), self._params.lookahead).reshape(-1)
        torch.manual_seed(derived(self._seed, "step", number))
        random = torch.Generator().manual_seed(derived(self._seed, "scores", number))
        base, unequal = self._base(prompts, stopped), False
        self._optimizer.zero_grad(set_to_none=True)
        for places, encoded in self._passes(prompts):
            if stopped():
                raise Stopped
            found = self.policy.forward(encoded)
            sampled, advantages = self._sample(found.detach(), moves[places], random)
            unequal |= bool(advantages.any())
            self._loss(found, sampled, advantages, base[places], len(prompts)).backward()
        if number < 2 and unequal:
            check_gradients(self.policy.weights, lambda name: number == 1 or "lora_B" in name)
        if not self._method.compat:
            norm = torch.nn.utils.clip_grad_norm_(self.policy.weights.values(), LARGEST_GRADIENT)
            if not bool(torch.isfinite(norm)):
                raise FloatingPointError(f"training diverged: the gradient of step {number + 1} is not finite")
        self._optimizer.step()

    def _passes(self, prompts: list[str]) -> Iterable[tuple[list[int], list[list[int]]]]:
        """Places and tokens of each pass. The starter kit pays a day as a whole, so its prompts stay together."""
        if self._method.compat:
            return [(list(range(len(prompts))), self.policy.tokens(prompts))]
        return self.policy.pieces(prompts)

    def _sample(self, found: Tensor, moves: Any, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices of the sampled scores i64[prompts, samples], and what each earned beyond its siblings, f32."""
        samples = 1 if self._method.compat else self._method.samples
        chances = found.exp().cpu()
        if not bool(torch.isfinite(chances).all()):
            raise FloatingPointError(f"training diverged: a score of step {self.done + 1} has no probability")
        drawn = torch.multinomial(chances, samples, replacement=True, generator=random)
        paid = self._paid(drawn.numpy() - self._params.signal_strength, moves[:, None])
        return drawn, torch.from_numpy(paid * self._params.reward_scaling).float()

    def _paid(self, scores: Any, moves: Any) -> Any:
        if self._method.compat:
            tickers = len(self._market.world.tickers)
            paid = starter_kit_rewards(scores / STARTER_KIT_SCALE, moves)
            return np.repeat(paid.reshape(-1, tickers).sum(axis=1), tickers)[:, None]
        paid = rewards(scores / self._params.signal_strength, moves)
        siblings = paid.shape[1] - 1
        return paid - (paid.sum(axis=1, keepdims=True) - paid) / siblings

    def _base(self, prompts: list[str], stopped: Callable[[], bool]) -> Tensor:
        """What the base model would say, [prompts, scores]; NaN where it was not asked."""
        if not self._divergence:
            return torch.zeros(len(prompts), 1)
        with self.policy.untuned():
            found = self.policy.log_probabilities(prompts[::COMPARED], stopped)
        base = torch.full((len(prompts), found.shape[1]), torch.nan, device=found.device)
        base[::COMPARED] = found
        return base

    @property
    def _divergence(self) -> float:
        return 0.0 if self._method.compat else self._method.kl

    def _loss(self, found: Tensor, sampled: Tensor, advantages: Tensor, base: Tensor, count: int) -> Tensor:
        """This piece's share of the mean over ``count`` prompts."""
        chosen = found.gather(1, sampled.to(found.device))
        loss = -(advantages.to(found.device) * chosen).mean(dim=1).sum()
        if self._divergence:
            asked = ~base.isnan().any(dim=1)
            here, there = found[asked], base[asked]
            loss = loss + self._divergence * COMPARED * (here.exp() * (here - there)).sum()
        return loss / count

    def _make_room(self) -> bool:
        """Recompute activations, then halve the passes; False where neither is left."""
        self._optimizer.zero_grad(set_to_none=True)
        if self._checkpointing:
            return self.policy.take_less()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.recompute()
        say("short of memory: recomputing activations")
        return True

    def recompute(self) -> None:
        """Trade time for memory: compute activations again in the backward pass."""
        self.policy.checkpoint_gradients()
        self._checkpointing = True
