"""Others' Python clients, each in an environment of its own: scripts that know nothing of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hack.cluster.layout import find_layout

from tests.cluster.operators import World


def python_with(*packages: str) -> str:
    """A Python with these, installed once into the cache of the cluster."""
    folder = find_layout().cache / "-".join(("sdk", *packages)).replace("==", "-")
    done = folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "pip"), "install", "-q", *packages], check=True)
        done.touch()
    return str(folder / "bin" / "python")


def run_client(python: str, script: Path, world: World, *words: str) -> dict[str, Any]:
    """Run a script in a world's namespace; what its last line says."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["KUBECONFIG"] = str(world.cluster.kubeconfig)
    command = [python, str(script), world.namespace, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
