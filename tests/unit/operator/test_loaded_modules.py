"""What the operator's process loads: its image lacks what draws, so nothing of that may be needed at its start.

Imports inside functions, and numpy, which Optuna loads for itself, are left to import-linter (``.importlinter``).
"""

from __future__ import annotations

import subprocess
import sys

FORBIDDEN = (
    "kubetuna.analysis",
    "kubetuna.cli",
    "kubetuna.finrl",
    "kubetuna.terminal",
    "kubetuna.training",
    "matplotlib",
    "plotly",
    "rich",
    "scipy",
    "typer",
)
START = "import sys, kubetuna_operator.__main__; print(*sys.modules)"


def test_the_operator_starts_without_what_draws_trains_or_talks_to_a_terminal() -> None:
    told = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True, timeout=60)
    loaded = told.stdout.split()
    assert "kubetuna_operator.experiment.run" in loaded
    assert [name for name in loaded if f"{name}.".startswith(tuple(f"{f}." for f in FORBIDDEN))] == []
