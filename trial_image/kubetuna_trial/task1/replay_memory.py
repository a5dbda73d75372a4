"""Replay memory: a ring over decisions, for all simulations at once.

An observation is kept as a row of the tape and two numbers, not as its factors: a fifth of the memory, and
checkpoints stay small. What followed is stored with each transition, so that no sample straddles the seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kubetuna_trial.task1.market import Observation


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions: what was seen, action i64[n], reward f32[n], what was seen next, 1 where it went on f32[n]."""

    before: Observation
    action: Tensor
    reward: Tensor
    after: Observation
    alive: Tensor


# Of a transition: two rows, an action, a reward, whether it went on, and two numbers of its own before and after.
BYTES = 3 * 8 + 2 * 4 + 2 * 2 * 4


class ReplayMemory:
    """The last ``length`` decisions of ``sims`` simulations."""

    def __init__(self, length: int, sims: int, device: torch.device) -> None:
        self._length, self._sims, self._next, self._filled = length, sims, 0, 0
        self._columns: dict[str, Tensor] = {
            "rows": torch.zeros((length, sims), dtype=torch.int64, device=device),
            "own": torch.zeros((length, sims, 2), device=device),
            "action": torch.zeros((length, sims), dtype=torch.int64, device=device),
            "reward": torch.zeros((length, sims), device=device),
            "rows_after": torch.zeros((length, sims), dtype=torch.int64, device=device),
            "own_after": torch.zeros((length, sims, 2), device=device),
            "alive": torch.zeros((length, sims), device=device),
        }

    def __len__(self) -> int:
        return self._filled

    def add(self, before: Observation, action: Tensor, reward: Tensor, after: Observation, ended: bool) -> None:
        """Keep one decision of every simulation, over the oldest where the ring is full."""
        values: dict[str, Any] = {
            "rows": before.rows, "own": before.own, "action": action, "reward": reward,
            "rows_after": after.rows, "own_after": after.own, "alive": 0.0 if ended else 1.0,
        }  # fmt: skip
        for name, value in values.items():
            self._columns[name][self._next] = value
        self._next = (self._next + 1) % self._length
        self._filled = min(self._filled + 1, self._length)

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        """``size`` transitions, uniformly and with replacement."""
        chosen = torch.randint(0, self._filled * self._sims, (size,), generator=generator, device=generator.device)
        chosen = chosen.to(self._columns["rows"].device)
        part = {name: column.flatten(0, 1)[chosen] for name, column in self._columns.items()}
        return Batch(
            Observation(part["rows"], part["own"]), part["action"], part["reward"],
            Observation(part["rows_after"], part["own_after"]), part["alive"],
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What is filled, as it lies there: to be written before the next decision."""
        filled = {name: column[: self._filled] for name, column in self._columns.items()}
        return {"next": self._next, "filled": self._filled, "columns": filled}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._next, self._filled = state["next"], state["filled"]
        for name, column in state["columns"].items():
            self._columns[name][: self._filled] = column
