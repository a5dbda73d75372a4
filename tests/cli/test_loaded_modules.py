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
    ours = {"kubetuna.analysis", "kubetuna.local.runner", "kubetuna.store", "kubetuna.study"}
    unwanted = {"matplotlib", "plotly", "scipy", "sqlalchemy", *ours}
    assert not loaded("plan", str(EXAMPLE)) & unwanted


def test_help_does_not_wait_for_optuna() -> None:
    assert not loaded("--help") & {"optuna", "numpy", "sqlalchemy"}


def test_a_report_waits_for_no_more_of_scipy_than_it_uses(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 's.db'}"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "kubetuna.cli.main",
            "run",
            str(EXAMPLE),
            "--store",
            store,
            "--set",
            "maxTrialCount=2",
        ],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    words = ("report", "quadratic", "--store", store, "--out", str(tmp_path / "page.html"))
    assert not {name for name in loaded(*words) if name.startswith("scipy.stats")}
