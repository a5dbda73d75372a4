"""For tests only: exit abruptly at a named moment, as if the node had lost power.

``KUBETUNA_TEST_DIE_AT=NAME:COUNT`` ends the process at the COUNT-th passing of that point. Without the variable
nothing happens.
"""

from __future__ import annotations

import itertools
import os
import signal

_NAME, _, _COUNT = os.environ.get("KUBETUNA_TEST_DIE_AT", "").partition(":")
_passed = itertools.count(1)


def failpoint(name: str) -> None:
    """Die here, if this is the moment."""
    if name == _NAME and next(_passed) == int(_COUNT or 1):
        os.kill(os.getpid(), signal.SIGKILL)
