"""No parameter of the guide is idle: at random points of the shipped spaces, changing one changes what is learned.

The schedule is that of the examples: decisions, episodes, replay memory, updates. Task 1's networks are a sixteenth
as wide, which changes what an update costs and not when anything happens; Task 2 learns from a day a step. A run
ends as soon as the two differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.samplers import Proposer
from kubetuna_trial.task1.agents import action_values
from kubetuna_trial.task1.data import planted_dataset
from kubetuna_trial.task1.market import MarketData, Observation
from kubetuna_trial.task1.member import Member
from kubetuna_trial.task1.parameters import parse_parameters
from kubetuna_trial.task1.planted import SNR
from kubetuna_trial.task1.training import PROFILES, UPDATES
from kubetuna_trial.task1.vote import vote
from kubetuna_trial.task2.data import Market, planted_market
from kubetuna_trial.task2.learning import Method
from kubetuna_trial.task2.training import scores
from tests.trial.task2 import worlds as worlds2

EXAMPLES = Path(__file__).parents[2] / "examples"
POINTS, ENOUGH = 40, 0.95
EARLY = (1, 2)
# A scaled reward is weighed against the divergence from the base model, which begins with the second step; and the
# moves of one day often have the same signs over two lookaheads.
LATER = ("reward_scaling", "max_train_steps", "lookahead")
Params = dict[str, Any]


def names(task: str) -> list[str]:
    return [p.name for p in parse_file_text((EXAMPLES / f"experiment-{task}.yaml").read_text()).parameters]


@lru_cache(maxsize=2)
def points(task: str) -> list[Params]:
    """As many that every parameter exists at ``POINTS`` pairs of them."""
    text = (EXAMPLES / f"experiment-{task}.yaml").read_text()
    spec = parse_file_text(text, sets=("algorithm.algorithmName=random", "algorithm.algorithmSettings=[]"))
    proposer, study = Proposer(spec, 1), optuna.create_study()
    found = []
    for number in range(6 * POINTS):
        study.ask()
        found.append(dict(proposer.propose(study, study.trials[-1], number)))
    return found


def pairs(task: str, name: str) -> list[tuple[Params, Any]]:
    """Points at which the parameter exists, each with another value of it."""

    def every() -> Iterator[tuple[Params, Any]]:
        known = [point for point in points(task) if name in point]
        for at, point in enumerate(known):
            others = [p[name] for p in known[at + 1 :] + known[:at] if p[name] != point[name]]
            yield point, others[0]

    return list(islice(every(), POINTS))


@lru_cache(maxsize=1)
def tape() -> tuple[MarketData, Any, torch.Tensor]:
    data = planted_dataset(20_000, 7, SNR)
    found = MarketData.of(data, torch.device("cpu"))
    rows = torch.arange(data.validation.start, data.validation.start + 500)
    return found, data.train, Observation(rows, torch.zeros(len(rows), 2)).observation(found)


def members(given: Params, which: range, narrower: int = 16) -> list[Member]:
    torch.set_num_threads(1)
    narrow = {name: value // narrower for name, value in given.items() if name.startswith("net_dims")}
    params = parse_parameters({**given, **narrow})
    market, train, _ = tape()
    return [
        Member(kind, params, PROFILES["quick"], market, train, 100 + index, False)
        for index, kind in enumerate(params.agents)
        if index in which
    ]


def differ(name: str, point: Params, other: Any) -> bool:
    """Whether the agent that a parameter is about, or the first, comes to other values within its updates."""
    number = int(name.removeprefix("agent_")) if name.startswith("agent_") else 0
    runs = [members(given, range(number, number + 1)) for given in (point, {**point, name: other})]
    sample = tape()[2]
    for update in range(1, UPDATES + 1):
        for (member,) in runs:
            member.advance()
        if update in EARLY or update % 20 == 0:
            with torch.no_grad():
                if not torch.equal(*(action_values(member.net, sample) for (member,) in runs)):
                    return True
    return False


def votes_differ(point: Params, other: int) -> bool:
    """Whether another number of agents trades otherwise, here after an update of networks of the true width."""
    found = []
    for given in (point, {**point, "n_ensemble_agents": other}):
        ensemble = members(given, range(4), 1)
        for member in ensemble:
            member.advance()
        with torch.no_grad():
            found.append(vote(torch.stack([action_values(m.net, tape()[2]) for m in ensemble])))
    return not torch.equal(*found)


@pytest.mark.parametrize("name", names("task1"))
def test_every_parameter_of_task_1_is_live_at_the_shipped_number_of_updates(name: str) -> None:
    tried = pairs("task1", name)
    live = [
        votes_differ(point, other) if name == "n_ensemble_agents" else differ(name, point, other)
        for point, other in tried
    ]
    assert len(tried) == POINTS and sum(live) >= ENOUGH * POINTS, f"{sum(live)} of {POINTS}"


@lru_cache(maxsize=1)
def news() -> Market:
    return planted_market(7)


def said(given: Params, steps: int) -> list[float]:
    """What a model says on a few days after so many steps."""
    plan = worlds2.plan(1, 1, Method(days=1), **given)
    trial = worlds2.trial(plan, news())
    for _ in range(steps):
        trial.learner.advance()
    first = trial.market.window.start
    found: list[float] = scores(trial.policy, trial.market, range(first, first + 1)).mean.ravel().tolist()
    return found


@lru_cache(maxsize=POINTS * 4)
def known(at: int, steps: int) -> list[float]:
    return said(points("task2")[at], steps)


@pytest.mark.parametrize("name", names("task2"))
def test_every_parameter_of_task_2_is_live_within_its_first_steps(name: str) -> None:
    tried, steps = pairs("task2", name), 2 if name in LATER else 1
    live = 0
    for point, other in tried:
        before = known(points("task2").index(point), steps)
        # No schedule hangs on the number of steps, so that it is live where a further step is.
        changed = said(point, 3) if name == "max_train_steps" else said({**point, name: other}, steps)
        live += changed != before
    assert len(tried) == POINTS and live >= ENOUGH * POINTS, f"{live} of {POINTS}"
