"""A process that has none of our code: isolated from the environment, and refused where it looks for it."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import runpy, sys
class Refuse:
    def find_spec(self, name, *_):
        if name.startswith("kubetuna"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def alone(*words: str) -> str:
    """What a program prints there."""
    done = subprocess.run([sys.executable, "-I", "-c", _PROGRAM, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
