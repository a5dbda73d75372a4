"""Optuna's pruners by their names here."""

from __future__ import annotations

from typing import Any

import optuna

from kubetuna.experiment.model import Algorithm, Experiment
from kubetuna.search.catalogue import PRUNERS


def build_pruner(experiment: Experiment) -> optuna.pruners.BasePruner | None:
    """The experiment's pruner; None where nothing is pruned (several objectives never are)."""
    if experiment.pruner is None or experiment.pruner.name == "none" or experiment.multi_objective:
        return None
    return _build(experiment.pruner)


def _build(algorithm: Algorithm) -> optuna.pruners.BasePruner:
    settings: dict[str, Any] = dict(algorithm.settings)
    if algorithm.name == "patient":
        inner: Algorithm = settings.pop("wrapped_pruner")
        settings["wrapped_pruner"] = None if inner.name == "none" else _build(inner)
    pruner: optuna.pruners.BasePruner = PRUNERS[algorithm.name].target(**settings)
    return pruner
