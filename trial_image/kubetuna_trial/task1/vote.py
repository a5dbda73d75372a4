"""How an ensemble decides: majority, and what breaks a tie."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

KEEP = 1
# Preferred in this order where even the advantages are equal: doing nothing costs nothing.
_PREFERENCE = (1e-9, 2e-9, 0.0)


def vote(values: Tensor) -> Tensor:
    """Actions i64[n] of members that value actions as f32[members, n, 3].

    Each member votes for its best action; most votes win. Among actions with equally many votes the largest sum of
    the members' advantages (an action's value less the member's mean, in units of the member's own spread) wins,
    and then keeping the position. The order of the members does not matter.
    """
    values = values.to(torch.float64)
    votes = functional.one_hot(values.argmax(dim=2), values.shape[2]).sum(dim=0).to(torch.float64)
    advantage = values - values.mean(dim=2, keepdim=True)
    spread = advantage.abs().amax(dim=2, keepdim=True).clamp_min(1e-12)
    # Bounded by half a vote, so that advantages decide only between equal counts.
    share = (advantage / spread).mean(dim=0) / 4
    return (votes + share + votes.new_tensor(_PREFERENCE)).argmax(dim=1)
