"""The guide's ``task1_hpo``: the optimizer of task 1, and ``kubetuna tune task1`` by the guide's options."""

from kubetuna.finrl.config import HPOConfig, create_sqlite_storage
from kubetuna.finrl.guide import run
from kubetuna.finrl.optimizers import Task1HPOOptimizer

__all__ = ["HPOConfig", "Task1HPOOptimizer", "create_sqlite_storage", "main"]


def main() -> None:
    """``python task1_hpo.py --config quick --metric sharpe_ratio``."""
    run("task1_hpo")


if __name__ == "__main__":
    main()
