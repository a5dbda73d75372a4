"""Small trainings for tests: a second each."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task1.data import Dataset, planted_dataset
from kubetuna_trial.task1.parameters import parse_parameters
from kubetuna_trial.task1.planted import SNR
from kubetuna_trial.task1.training import Plan, Report, Trial

SMALL = {
    "net_dims_0": 64, "net_dims_1": 64, "net_dims_2": 64, "learning_rate": 1e-3, "num_sims": 32,
    "repeat_times": 1, "buffer_size_multiplier": 16, "n_ensemble_agents": 2,
}  # fmt: skip


@lru_cache(maxsize=8)
def data(rows: int = 20_000, seed: int = 7, snr: float = SNR) -> Dataset:
    """A planted market."""
    return planted_dataset(rows, seed, snr)


def plan(updates: int = 170, reports: int = 2, seed: int = 1, compat: bool = False, **params: Any) -> Plan:
    """A trial's plan, with some parameters changed."""
    torch.set_num_threads(1)
    return Plan(parse_parameters({**SMALL, **params}), seed, updates, reports, "quick", "cpu", compat)


def trial(plan_: Plan, market: Dataset | None = None, folder: Path | None = None) -> Trial:
    """A trial that is ready to run."""
    return Trial(plan_, market or data(), lambda key: Checkpoints(folder, key))


def reports(of: Trial) -> list[dict[str, float]]:
    """Run it to its end; the metrics of each report."""
    told: list[Report] = []
    assert of.run(told.append, lambda: False)
    return [report.metrics() for report in told]
