"""The guide's ``hpo_config``: how a search is run, what it searches, and where its results are kept."""

from kubetuna.finrl.config import HPOConfig, create_sqlite_storage
from kubetuna.finrl.results_manager import HPOResultsManager
from kubetuna.finrl.spaces import Task1HPOSearchSpace, Task2HPOSearchSpace

__all__ = [
    "HPOConfig",
    "HPOResultsManager",
    "Task1HPOSearchSpace",
    "Task2HPOSearchSpace",
    "create_sqlite_storage",
]
