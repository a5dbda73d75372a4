"""The guide's ``hpo_utils``: the analysis of results, and ``kubetuna analyze``."""

from kubetuna.finrl.analyzer import HPOAnalyzer, compare_multiple_studies, create_hpo_dashboard
from kubetuna.finrl.guide import run
from kubetuna.finrl.results_manager import HPOResultsManager

__all__ = ["HPOAnalyzer", "HPOResultsManager", "compare_multiple_studies", "create_hpo_dashboard", "main"]


def main() -> None:
    """``python hpo_utils.py hpo_experiments``."""
    run("hpo_utils")


if __name__ == "__main__":
    main()
