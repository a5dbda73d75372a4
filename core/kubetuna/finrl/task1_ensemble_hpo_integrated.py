"""The guide's ``task1_ensemble_hpo_integrated``: training a study's winner; ``kubetuna train`` and ``summary``."""

from kubetuna.finrl.guide import run
from kubetuna.finrl.trainer import HPOIntegratedTrainer

__all__ = ["HPOIntegratedTrainer", "main"]


def main() -> None:
    """``python task1_ensemble_hpo_integrated.py GPU --hpo-results DIR --save-path DIR``."""
    run("task1_ensemble_hpo_integrated")


if __name__ == "__main__":
    main()
