"""The Q-networks of the contest's starter kit: its names, its layers, its arithmetic, written anew.

Agents that were saved with these classes load in the kit, whose module ``erl_net`` has the same ones, and with this
file where the kit is not there. It needs torch only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn


def build_mlp(dims: Sequence[int]) -> nn.Sequential:
    """Linear layers with a ReLU between each two, none after the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(dims):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class QNetBase(nn.Module):
    """Scales states before, and values after, by what the network carries with it."""

    def __init__(self, state_dim: int, action_dim: int) -> None:
        super().__init__()
        self.explore_rate = 0.125
        self.state_dim, self.action_dim, self.net = state_dim, action_dim, None
        self.state_avg, self.value_avg = _fixed(torch.zeros(state_dim)), _fixed(torch.zeros(1))
        self.state_std, self.value_std = _fixed(torch.ones(state_dim)), _fixed(torch.ones(1))

    def encoded(self, state: Tensor) -> Tensor:
        """Features of states f32[n, state_dim]."""
        found: Tensor = cast(nn.Module, self.net_state)((state - self.state_avg) / self.state_std)
        return found


def _fixed(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)


class QNetTwin(QNetBase):
    """Two heads on one trunk; it acts by the first."""

    def __init__(self, dims: Sequence[int], state_dim: int, action_dim: int) -> None:
        super().__init__(state_dim, action_dim)
        self.net_state = build_mlp([state_dim, *dims])
        self.net_val1, self.net_val2 = build_mlp([dims[-1], action_dim]), build_mlp([dims[-1], action_dim])
        self.soft_max = nn.Softmax(dim=1)

    def forward(self, state: Tensor) -> Tensor:
        """Values of the actions, f32[n, action_dim]."""
        found: Tensor = self.net_val1(self.encoded(state))
        return found


class QNetTwinDuel(QNetBase):
    """Two dueling heads on one trunk; it acts by the first. ``adv`` has one output and ``val`` one an action."""

    def __init__(self, dims: Sequence[int], state_dim: int, action_dim: int) -> None:
        super().__init__(state_dim, action_dim)
        self.net_state = build_mlp([state_dim, *dims])
        self.net_adv1, self.net_val1 = build_mlp([dims[-1], 1]), build_mlp([dims[-1], action_dim])
        self.net_adv2, self.net_val2 = build_mlp([dims[-1], 1]), build_mlp([dims[-1], action_dim])
        self.soft_max = nn.Softmax(dim=1)

    def forward(self, state: Tensor) -> Tensor:
        """Values of the actions, f32[n, action_dim]."""
        features = self.encoded(state)
        value: Tensor = self.net_val1(features)
        found: Tensor = value - value.mean(dim=1, keepdim=True) + self.net_adv1(features)
        return found * self.value_std + self.value_avg
