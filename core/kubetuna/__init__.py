"""Hyperparameter tuning from one YAML file, from the command line or from Python.

The names below are loaded when they are first used, so that ``import kubetuna`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubetuna.finrl.analyzer import HPOAnalyzer, compare_multiple_studies, create_hpo_dashboard
    from kubetuna.finrl.config import HPOConfig, create_sqlite_storage
    from kubetuna.finrl.optimizers import Task1HPOOptimizer, Task2HPOOptimizer
    from kubetuna.finrl.results_manager import HPOResultsManager
    from kubetuna.finrl.spaces import Task1HPOSearchSpace, Task2HPOSearchSpace
    from kubetuna.finrl.trainer import HPOIntegratedTrainer

_HOMES = {
    "HPOAnalyzer": "analyzer",
    "HPOConfig": "config",
    "HPOIntegratedTrainer": "trainer",
    "HPOResultsManager": "results_manager",
    "Task1HPOOptimizer": "optimizers",
    "Task1HPOSearchSpace": "spaces",
    "Task2HPOOptimizer": "optimizers",
    "Task2HPOSearchSpace": "spaces",
    "compare_multiple_studies": "analyzer",
    "create_hpo_dashboard": "analyzer",
    "create_sqlite_storage": "config",
}

__all__ = [
    "HPOAnalyzer",
    "HPOConfig",
    "HPOIntegratedTrainer",
    "HPOResultsManager",
    "Task1HPOOptimizer",
    "Task1HPOSearchSpace",
    "Task2HPOOptimizer",
    "Task2HPOSearchSpace",
    "compare_multiple_studies",
    "create_hpo_dashboard",
    "create_sqlite_storage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kubetuna' has no attribute {name!r}")
    return getattr(import_module(f"kubetuna.finrl.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
