"""Run other programs: quietly while they succeed, with the end of what they printed when they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster.errors import ClusterError

TAIL_LINES = 15


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float | None = None,
) -> str:
    """Run a program and return its standard output; raise ClusterError where it fails."""
    full_env = {**os.environ, **env} if env else None
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=full_env, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise ClusterError(f"{argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{argv[0]} did not end within {timeout:g} s") from None
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-TAIL_LINES:])
        raise ClusterError(f"{' '.join(argv[:4])} failed with status {done.returncode}:\n{tail}")
    return done.stdout


def succeeds(argv: Sequence[str]) -> bool:
    """Tell whether a program ends with status 0, whatever it prints."""
    try:
        run(argv)
    except ClusterError:
        return False
    return True


def say(line: str) -> None:
    """Print one line of progress at once; builds take minutes and a person waits."""
    print(line, flush=True)
