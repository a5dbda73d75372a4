"""How an ensemble decides: majority, and what breaks a tie."""

from __future__ import annotations

import torch
from torch import Tensor

KEEP = 1
# Preferred in this order where even the advantages are equal: doing nothing costs nothing.
_PREFERENCE = (1e-9, 2e-9, 0.0)


def vote(values: Tensor) -> Tensor:
    """Actions i64[n] of members that value actions as f32[members, n, 3].

    Each member votes for its best action, or shares its vote among equally good ones; most votes win. Among actions
    with equally many votes the largest sum of the members' advantages (an action's value less the member's mean, in
    units of the member's own spread) wins, and then keeping the position. The order of members does not matter.
    """
    values = values.to(torch.float64)
    top = (values == values.amax(dim=2, keepdim=True)).to(torch.float64)
    votes = (top / top.sum(dim=2, keepdim=True)).sum(dim=0)
    advantage = values - values.mean(dim=2, keepdim=True)
    spread = advantage.abs().amax(dim=2, keepdim=True).clamp_min(1e-12)
    # Below the least difference of unequal counts, so that advantages decide only between equal ones.
    share = (advantage / spread).mean(dim=0) / 32
    return (votes + share + votes.new_tensor(_PREFERENCE)).argmax(dim=1)
