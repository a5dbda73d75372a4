"""The three kinds of Q-learning agents, each with the network and the target that its name stands for.

========== ======== ===== ==================================================================
kind       dueling  heads target of an action's value
========== ======== ===== ==================================================================
DoubleDQN  no       1     r + γ Q'(s', argmax Q(s'))
D3QN       yes      1     the same, with a dueling network
TwinD3QN   yes      2     r + γ min(Q1', Q2')(s', argmax min(Q1, Q2)(s')): the clipped twin
========== ======== ===== ==================================================================

(Q' is the target network.) In the contest's starter kit all three are twins with r + γ max min(Q1', Q2'), and
TwinD3QN is DoubleDQN under another name; ``compat`` restores that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from kubetuna_trial.task1.nets import QNetwork


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells one kind of agent from another. ``double``: the online network chooses the next action."""

    dueling: bool
    heads: int
    double: bool = True


KINDS = {"D3QN": Kind(True, 1), "DoubleDQN": Kind(False, 1), "TwinD3QN": Kind(True, 2)}
COMPAT_KINDS = {
    "D3QN": Kind(True, 2, double=False),
    "DoubleDQN": Kind(False, 2, double=False),
    "TwinD3QN": Kind(False, 2, double=False),
}


def network(kind: Kind, inputs: int, dims: Sequence[int]) -> QNetwork:
    """A network for a kind of agent."""
    return QNetwork(inputs, dims, kind.heads, kind.dueling)


def action_values(net: QNetwork, observation: Tensor) -> Tensor:
    """What an agent thinks of each action, f32[n, 3]: the more careful of its heads."""
    values: Tensor = net(observation)
    return values.amin(dim=0)


@torch.no_grad()
def targets(kind: Kind, net: QNetwork, target: QNetwork, after: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
    """What the taken actions are worth, f32[n]; ``discount`` is γ, or 0 where the episode ended."""
    future = action_values(target, after)
    if kind.double:
        chosen = action_values(net, after).argmax(dim=1, keepdim=True)
        return reward + discount * future.gather(1, chosen).squeeze(1)
    return reward + discount * future.amax(dim=1)


def loss(net: QNetwork, before: Tensor, action: Tensor, wanted: Tensor) -> Tensor:
    """Huber loss of every head against the same targets, averaged over the batch and summed over heads."""
    values: Tensor = net(before)
    taken = values.gather(2, action.view(1, -1, 1).expand(len(values), -1, -1)).squeeze(2)
    return functional.smooth_l1_loss(taken, wanted.expand_as(taken)) * len(values)
