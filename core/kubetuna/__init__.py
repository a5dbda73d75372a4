"""Hyperparameter tuning from one YAML file, from the command line or from Python.

The names below are loaded when they are first used, so that ``import kubetuna`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubetuna.api.experiments import plan, run
    from kubetuna.api.studies import load
    from kubetuna.experiment.model import Experiment
    from kubetuna.finrl.analyzer import HPOAnalyzer, compare_multiple_studies, create_hpo_dashboard
    from kubetuna.finrl.config import HPOConfig, create_sqlite_storage
    from kubetuna.finrl.optimizers import Task1HPOOptimizer, Task2HPOOptimizer
    from kubetuna.finrl.results_manager import HPOResultsManager
    from kubetuna.finrl.spaces import Task1HPOSearchSpace, Task2HPOSearchSpace
    from kubetuna.finrl.trainer import HPOIntegratedTrainer
    from kubetuna.study.record import StudyRecord

_HOMES = {
    "Experiment": "experiment.model",
    "HPOAnalyzer": "finrl.analyzer",
    "HPOConfig": "finrl.config",
    "HPOIntegratedTrainer": "finrl.trainer",
    "HPOResultsManager": "finrl.results_manager",
    # Its own room knows no pages; this one teaches it to write a report.
    "StudyRecord": "api.studies",
    "Task1HPOOptimizer": "finrl.optimizers",
    "Task1HPOSearchSpace": "finrl.spaces",
    "Task2HPOOptimizer": "finrl.optimizers",
    "Task2HPOSearchSpace": "finrl.spaces",
    "compare_multiple_studies": "finrl.analyzer",
    "create_hpo_dashboard": "finrl.analyzer",
    "create_sqlite_storage": "finrl.config",
    "load": "api.studies",
    "plan": "api.experiments",
    "run": "api.experiments",
}

__all__ = [
    "Experiment",
    "HPOAnalyzer",
    "HPOConfig",
    "HPOIntegratedTrainer",
    "HPOResultsManager",
    "StudyRecord",
    "Task1HPOOptimizer",
    "Task1HPOSearchSpace",
    "Task2HPOOptimizer",
    "Task2HPOSearchSpace",
    "compare_multiple_studies",
    "create_hpo_dashboard",
    "create_sqlite_storage",
    "load",
    "plan",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kubetuna' has no attribute {name!r}")
    return getattr(import_module(f"kubetuna.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
