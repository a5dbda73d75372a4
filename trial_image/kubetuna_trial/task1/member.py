"""One agent of the ensemble in training: acts, remembers, learns, and can be stopped after any update.

It alternates between ``horizon`` decisions of all simulations and ``horizon * repeat_times`` updates.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kubetuna_trial.task1.agents import COMPAT_KINDS, KINDS, Kind, action_values, loss, network, targets
from kubetuna_trial.task1.book import Rules, holding_limit
from kubetuna_trial.task1.market import Market, MarketData
from kubetuna_trial.task1.nets import ACTIONS, QNetwork
from kubetuna_trial.task1.parameters import Parameters
from kubetuna_trial.task1.replay_memory import ReplayMemory
from kubetuna_trial.task1.splits import Span

GRADIENT_NORM = 3.0
SOFT_UPDATE = 5e-3
COMPAT_SOFT_UPDATE = 2e-6
COMPAT_EXPLORE_RATE = 0.125
COMPAT_STOP_LOSS = 1e-3


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a training run: decisions in an episode, a horizon and a unit of replay memory."""

    episode: int
    horizon: int
    memory: int


class Member:
    """An agent with everything that its training needs. All its randomness comes from ``seed``."""

    def __init__(
        self, kind: str, params: Parameters, scale: Scale, tape: MarketData, span: Span, seed: int, compat: bool
    ) -> None:
        self.kind: Kind = (COMPAT_KINDS if compat else KINDS)[kind]
        self._params, self._tape, self._compat = params, tape, compat
        self._device = tape.prices.device
        self._random = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net: QNetwork = network(self.kind, tape.width, params.net_dims).to(self._device)
        self._target: QNetwork = copy.deepcopy(self.net)
        self._optimizer = torch.optim.AdamW(self.net.parameters(), lr=params.learning_rate, fused=True)
        rules = Rules(params.slippage, params.max_position, holding_limit(params.step_gap),
                      COMPAT_STOP_LOSS if compat else None, compat)  # fmt: skip
        self._market = Market(tape, span, rules, params.step_gap, params.num_sims, scale.episode)
        self._horizon = scale.horizon * params.horizon_len_multiplier
        self._memory = ReplayMemory(scale.memory * params.buffer_size_multiplier, params.num_sims, self._device)
        self._explore = COMPAT_EXPLORE_RATE if compat else params.explore_rate
        self.updates = self.decisions = self._pending = 0

    def advance(self) -> None:
        """One update, after as many decisions as are due."""
        if self._pending == 0:
            self._collect()
            self._pending = self._horizon * self._params.repeat_times
        self._update()
        self._pending -= 1
        self.updates += 1

    @torch.no_grad()
    def _collect(self) -> None:
        random_only = len(self._memory) == 0
        for _ in range(self._horizon):
            before = self._market.now(self._random)
            action = self._act(before.observation(self._tape), random_only)
            reward, after, ended = self._market.step(action)
            self._memory.add(before, action, reward, after, ended)
        self.decisions += self._horizon * self._params.num_sims

    def _act(self, observation: Tensor, random_only: bool) -> Tensor:
        """Each simulation explores by its own coin."""
        count = len(observation)
        chance = torch.rand(count, generator=self._random).to(self._device)
        luck = torch.randint(0, ACTIONS, (count,), generator=self._random).to(self._device)
        if random_only:
            return luck
        best = action_values(self._target if self._compat else self.net, observation).argmax(dim=1)
        return torch.where(chance < self._explore, luck, best)

    def _update(self) -> None:
        batch = self._memory.sample(self._params.batch_size, self._random)
        discount = self._params.gamma * batch.alive
        after = batch.after.observation(self._tape)
        wanted = targets(self.kind, self.net, self._target, after, batch.reward, discount)
        value = loss(self.net, batch.before.observation(self._tape), batch.action, wanted)
        self._optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        self._follow(COMPAT_SOFT_UPDATE if self._compat else SOFT_UPDATE)

    @torch.no_grad()
    def _follow(self, rate: float) -> None:
        """The target network moves a little towards the online one."""
        torch._foreach_lerp_(list(self._target.parameters()), list(self.net.parameters()), rate)

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on."""
        return {
            "net": self.net.state_dict(),
            "target": self._target.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "memory": self._memory.state(),
            "market": self._market.state(),
            "random": self._random.get_state(),
            "counts": [self.updates, self.decisions, self._pending],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.net.load_state_dict(state["net"])
        self._target.load_state_dict(state["target"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._memory.restore(state["memory"])
        self._market.restore(state["market"])
        self._random.set_state(state["random"])
        self.updates, self.decisions, self._pending = state["counts"]
