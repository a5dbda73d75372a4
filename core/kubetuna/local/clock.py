"""The system's clock, behind the port that tests replace."""

from __future__ import annotations

import time


class SystemClock:
    """Wall-clock time of this machine."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()
