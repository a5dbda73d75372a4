"""How long to wait after failures in a row: twice as long each time, up to a bound."""

from __future__ import annotations

# Beyond this every wait is at its bound, and the power would outgrow a float.
MOST_DOUBLINGS = 30


def wait_after(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after this many failures, from 1 on."""
    return min(longest, first * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
