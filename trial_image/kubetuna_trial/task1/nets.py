"""Q-networks: a trunk of three layers, then one or two heads, plain or dueling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIONS = 3


class Head(nn.Module):
    """Q-values f32[n, 3] from features. Dueling: a value, plus advantages less their mean."""

    def __init__(self, width: int, dueling: bool) -> None:
        super().__init__()
        self.advantage = _small(nn.Linear(width, ACTIONS))
        self.value = _small(nn.Linear(width, 1)) if dueling else None

    def forward(self, features: Tensor) -> Tensor:
        """f32[n, width] to f32[n, 3]."""
        advantage: Tensor = self.advantage(features)
        if self.value is None:
            return advantage
        value: Tensor = self.value(features)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


class QNetwork(nn.Module):
    """Several heads on one trunk."""

    def __init__(self, inputs: int, dims: Sequence[int], heads: int, dueling: bool) -> None:
        super().__init__()
        widths = [inputs, *dims]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(Head(widths[-1], dueling) for _ in range(heads))

    def forward(self, observation: Tensor) -> Tensor:
        """f32[n, inputs] to f32[heads, n, 3]."""
        features = self.trunk(observation)
        return torch.stack([head(features) for head in self.heads])


def _small(layer: nn.Linear) -> nn.Linear:
    """Heads start near zero, so that the first targets are the rewards."""
    nn.init.orthogonal_(layer.weight, gain=0.1)
    nn.init.zeros_(layer.bias)
    return layer
