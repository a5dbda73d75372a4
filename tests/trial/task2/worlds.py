"""Small trainings for tests: a second each, once the tiny model is in the cache."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task2.data import Market, planted_market
from kubetuna_trial.task2.learning import Method
from kubetuna_trial.task2.loading import Loaded, Source, load, source_of
from kubetuna_trial.task2.parameters import parse_parameters
from kubetuna_trial.task2.training import Plan, Report, Trial

DAYS = 620  # The shortest world whose train part has the 300 days that max_env_steps may ask for.


@lru_cache(maxsize=8)
def market(seed: int = 7, shuffled: bool = False, days: int = DAYS, test: bool = False) -> Market:
    """A planted market."""
    return planted_market(seed, shuffled, days, test)


@lru_cache(maxsize=1)
def tiny() -> Source:
    """The tiny model, made on first use."""
    torch.set_num_threads(1)
    return source_of(None, None, False)


def loaded(quantization: str | None = None, how: str = "auto") -> Loaded:
    """The tiny model, loaded afresh: LoRA changes it in place."""
    return load(tiny(), quantization, "cpu", how)


def plan(reports: int = 2, seed: int = 1, method: Method | None = None, **params: Any) -> Plan:
    """A trial's plan, with some parameters changed."""
    torch.use_deterministic_algorithms(True)
    given = parse_parameters({"max_train_steps": 4, **params})
    return Plan(given, seed, tiny(), "cpu", reports, method=method or Method(days=2, samples=8))


def trial(plan_: Plan, of: Market | None = None, folder: Path | None = None, model: Loaded | None = None) -> Trial:
    """A trial that is ready to run."""
    model = model or loaded(plan_.params.quantization)
    return Trial(plan_, model, of or market(), lambda key: Checkpoints(folder, key))


def reports(of: Trial) -> list[dict[str, float]]:
    """Run it to its end; the metrics of each report."""
    told: list[Report] = []
    assert of.run(told.append, lambda: False)
    return [report.metrics() for report in told]
