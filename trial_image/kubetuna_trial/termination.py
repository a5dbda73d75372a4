"""SIGTERM as a flag: a trainer finishes the update at hand, saves and leaves."""

from __future__ import annotations

import signal
from types import FrameType

EXIT_TERMINATED = 128 + signal.SIGTERM


class Termination:
    """Whether the process was asked to stop. ``install`` once, from the main thread."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> Termination:
        """Listen for SIGTERM and Ctrl-C."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
