"""Hyperparameter tuning from one YAML file, from the command line or from Python.

The names below are loaded when they are first used, so that ``import kubetuna`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubetuna.api.analyzer import HPOAnalyzer, compare_multiple_studies, create_hpo_dashboard
    from kubetuna.api.config import HPOConfig, create_sqlite_storage
    from kubetuna.api.kept_results import HPOResultsManager
    from kubetuna.api.optimizers import Task1HPOOptimizer, Task2HPOOptimizer
    from kubetuna.api.spaces import Task1HPOSearchSpace, Task2HPOSearchSpace
    from kubetuna.api.trainer import HPOIntegratedTrainer

_HOMES = {
    "HPOAnalyzer": "analyzer",
    "HPOConfig": "config",
    "HPOIntegratedTrainer": "trainer",
    "HPOResultsManager": "kept_results",
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
    return getattr(import_module(f"kubetuna.api.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
