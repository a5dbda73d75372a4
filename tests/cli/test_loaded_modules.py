"""What a verb loads decides how long a person waits for its first word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "quadratic.yaml"
CALL = """
import sys
from kubetuna.cli.main import main

try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(*words: str) -> set[str]:
    """The modules in an interpreter that has run ``kubetuna`` with these words."""
    told = subprocess.run(
        [sys.executable, "-c", CALL, *words], capture_output=True, text=True, check=True, timeout=60
    )
    return set(told.stderr.split())


def test_plan_loads_no_database_no_runner_and_nothing_that_draws() -> None:
    ours = {"kubetuna.analysis", "kubetuna.local", "kubetuna.store", "kubetuna.study"}
    unwanted = {"matplotlib", "plotly", "scipy", "sqlalchemy", *ours}
    assert not loaded("plan", str(EXAMPLE)) & unwanted


def test_help_does_not_wait_for_optuna() -> None:
    assert not loaded("--help") & {"optuna", "numpy", "sqlalchemy"}
