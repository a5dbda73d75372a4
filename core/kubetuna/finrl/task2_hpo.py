"""The guide's ``task2_hpo``: the optimizer of task 2, and ``kubetuna tune task2`` by the guide's options."""

from kubetuna.finrl.config import HPOConfig, create_sqlite_storage
from kubetuna.finrl.guide import run
from kubetuna.finrl.optimizers import Task2HPOOptimizer

__all__ = ["HPOConfig", "Task2HPOOptimizer", "create_sqlite_storage", "main"]


def main() -> None:
    """``python task2_hpo.py --config quick --metric cumulative_return``."""
    run("task2_hpo")


if __name__ == "__main__":
    main()
