"""The parameters of a trial: their types, what the trainer accepts, and the contest guide's search ranges.

What is accepted is wider than the guide's ranges, because a GPU wants thousands of simulations and a person
may look beyond; what cannot work is refused with the name, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna_trial.errors import InputError
from kubetuna_trial.numbers import Number, parse_numbers, refuse_unknown

AGENTS = ("D3QN", "DoubleDQN", "TwinD3QN")
MAX_AGENTS = 8


NUMBERS: Mapping[str, Number] = {
    "net_dims_0": Number(True, 1, 8192, 128, "64 … 512 step 64", "units of the first layer"),
    "net_dims_1": Number(True, 1, 8192, 128, "64 … 512 step 64", "units of the second layer"),
    "net_dims_2": Number(True, 1, 8192, 128, "64 … 512 step 64", "units of the third layer"),
    "learning_rate": Number(False, 1e-9, 1, 5e-4, "1e-6 … 1e-3 log", "step size of AdamW"),
    "gamma": Number(False, 0, 1, 0.99, "0.99 … 0.999", "discount per decision"),
    "explore_rate": Number(False, 0, 1, 0.02, "0.001 … 0.1 log", "chance of a random action, per simulation"),
    "batch_size": Number(True, 1, 65536, 128, "128, 256, 512, 1024", "transitions per update"),
    "buffer_size_multiplier": Number(True, 1, 1024, 8, "4 … 16", "length of the replay memory"),
    "horizon_len_multiplier": Number(True, 1, 1024, 1, "1 … 4", "decisions between two rounds of updates"),
    "repeat_times": Number(True, 1, 64, 2, "1 … 4", "updates per decision"),
    "num_sims": Number(True, 1, 65536, 64, "32, 64, 128, 256", "simulations side by side"),
    "step_gap": Number(True, 1, 60, 2, "1 … 5", "seconds between decisions"),
    "slippage": Number(False, 0, 0.1, 7e-7, "1e-8 … 1e-5 log", "cost of a trade in training, as a fraction"),
    "max_position": Number(True, 1, 100, 1, "1 … 3", "units that full exposure is split into"),
    "n_ensemble_agents": Number(True, 1, MAX_AGENTS, 2, "2 … 4", "agents that vote"),
}
AGENT_NAMES = tuple(f"agent_{i}" for i in range(MAX_AGENTS))


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is tuned. None of it changes how a trial is judged."""

    net_dims: tuple[int, int, int]
    learning_rate: float
    gamma: float
    explore_rate: float
    batch_size: int
    buffer_size_multiplier: int
    horizon_len_multiplier: int
    repeat_times: int
    num_sims: int
    step_gap: int
    slippage: float
    max_position: int
    agents: tuple[str, ...]


def parse_parameters(given: Mapping[str, Any]) -> Parameters:
    """Parameters by name, as JSON or text; what is absent has its default. Raises InputError."""
    refuse_unknown(given, {*NUMBERS, *AGENT_NAMES})
    numbers = parse_numbers(NUMBERS, given)
    whole = {name: int(value) for name, value in numbers.items() if NUMBERS[name].whole}
    return Parameters(
        net_dims=(whole["net_dims_0"], whole["net_dims_1"], whole["net_dims_2"]),
        learning_rate=numbers["learning_rate"],
        gamma=numbers["gamma"],
        explore_rate=numbers["explore_rate"],
        batch_size=whole["batch_size"],
        buffer_size_multiplier=whole["buffer_size_multiplier"],
        horizon_len_multiplier=whole["horizon_len_multiplier"],
        repeat_times=whole["repeat_times"],
        num_sims=whole["num_sims"],
        step_gap=whole["step_gap"],
        slippage=numbers["slippage"],
        max_position=whole["max_position"],
        agents=_agents(given, whole["n_ensemble_agents"]),
    )


def _agents(given: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """The first ``count`` agents; one that is not given takes the next kind in turn."""
    found = []
    for index, name in enumerate(AGENT_NAMES[:count]):
        kind = given.get(name, AGENTS[index % len(AGENTS)])
        if kind not in AGENTS:
            raise InputError(f"{name}: {kind!r} is not allowed; it must be one of {', '.join(AGENTS)}")
        found.append(str(kind))
    return tuple(found)
