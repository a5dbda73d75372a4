"""A trial: train the members round-robin, report the ensemble at equal shares of the budget, resume anywhere.

Every report is of the whole ensemble at the same share of the same budget, so that a pruner compares like with
like. A checkpoint follows a report where it takes a small share of the time; SIGTERM saves after the update at
hand. What is printed twice after a restart is equal to the last digit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.memory import require
from kubetuna_trial.task1.data import Dataset
from kubetuna_trial.task1.evaluation import Judgement, baselines, ensemble_policy, judge
from kubetuna_trial.task1.linear import fitted, judged
from kubetuna_trial.task1.market import MarketData
from kubetuna_trial.task1.member import Member, Scale
from kubetuna_trial.task1.parameters import Parameters
from kubetuna_trial.task1.protocol import Protocol, protocol_of
from kubetuna_trial.task1.replay_memory import BYTES

UPDATES = 500
PROFILES = {
    "quick": Scale(episode=60, horizon=8, memory=8),
    "contest": Scale(episode=2370, horizon=2370, memory=2370),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a trial does. ``updates`` is how often each member learns."""

    params: Parameters
    seed: int
    updates: int
    reports: int
    profile: str
    device: str
    compat: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The ensemble at a share of the budget; ``step`` counts from 1."""

    step: int
    judgement: Judgement

    def metrics(self) -> dict[str, float]:
        """The figures that a tuner may ask for."""
        found = asdict(self.judgement.performance)
        found.pop("degenerate")
        return found


class Trial:
    """The training of one ensemble. ``report`` is called at each share, ``stopped`` asked after each update."""

    def __init__(self, plan: Plan, data: Dataset, checkpoints: Callable[[str], Checkpoints]) -> None:
        self.plan, self.protocol = plan, protocol_of(data, data.validation)
        self.tape = MarketData.of(data, torch.device(plan.device))
        self.linear = fitted(data).tolist()
        self._checkpoints = checkpoints(configuration(plan, self.protocol))
        scale, count = PROFILES[plan.profile], len(plan.params.agents)
        require(memory_needs(plan), self.tape.prices.device)
        seeds = [int.from_bytes(hashlib.sha256(f"{plan.seed}/{i}".encode()).digest()[:7]) for i in range(count)]
        self.members = [
            Member(kind, plan.params, scale, self.tape, data.train, seed, plan.compat)
            for kind, seed in zip(plan.params.agents, seeds, strict=True)
        ]
        self._reported = 0
        state = self._checkpoints.load()
        if state is not None:
            self._restore(state)

    @property
    def reported(self) -> int:
        """Reports made, by earlier attempts too."""
        return self._reported

    def run(self, report: Callable[[Report], None], stopped: Callable[[], bool]) -> bool:
        """Train to the end: True, or False where it was stopped (and saved)."""
        for step in range(self._reported + 1, self.plan.reports + 1):
            if not self._train(step, stopped):
                self.save()
                return False
            report(Report(step, self.judge(None if step == self.plan.reports else self.protocol.reported)))
            self._reported = step
            self._checkpoints.offer(*self._state())
        return True

    def _train(self, step: int, stopped: Callable[[], bool]) -> bool:
        share = self.plan.updates * step // self.plan.reports
        for member in self.members:
            while member.updates < share:
                member.advance()
                if stopped():
                    return False
        return True

    def judge(self, episodes: int | None = None) -> Judgement:
        """The ensemble as it is now, by the protocol."""
        params = self.plan.params
        policy = ensemble_policy([member.net for member in self.members], self.tape)
        return judge(policy, params.step_gap, params.max_position, self.tape, self.protocol, episodes)

    def baselines(self) -> dict[str, float]:
        """What training must beat, by the same protocol."""
        linear = judged(self.linear, self.tape, self.protocol).performance.total_return
        return {**baselines(self.tape, self.protocol), "linear_return": linear}

    def save(self) -> None:
        """Write a checkpoint, whatever time it takes."""
        self._checkpoints.save(*self._state())

    def _state(self) -> tuple[int, dict[str, Any]]:
        updates = sum(member.updates for member in self.members)
        return updates, {"reported": self._reported, "members": [m.state() for m in self.members]}

    def _restore(self, state: dict[str, Any]) -> None:
        self._reported = state["reported"]
        for member, kept in zip(self.members, state["members"], strict=True):
            member.restore(kept)


def memory_needs(plan: Plan) -> dict[str, int]:
    """Bytes that training takes for long, by what for; networks and batches are small beside them."""
    length = PROFILES[plan.profile].memory * plan.params.buffer_size_multiplier
    replay = length * plan.params.num_sims * BYTES * len(plan.params.agents)
    return {"replay memory": replay}


def configuration(plan: Plan, protocol: Protocol) -> str:
    """What must be equal for one attempt to go on from another's checkpoint."""
    text = json.dumps([asdict(plan), protocol.digest], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
