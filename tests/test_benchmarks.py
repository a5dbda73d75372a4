"""Every benchmark runs, so that a change of what it measures does not break it unseen. Its figures are no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import NAMES

ROOT = Path(__file__).parents[1]


# The longest trains models for two minutes, on a machine with nothing else to do.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_at_small_sizes(name: str) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"]
