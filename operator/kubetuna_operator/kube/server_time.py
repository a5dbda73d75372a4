"""The time of day as the API server has it.

When a Pod started, and when it should have been gone, is told by other machines' clocks. A deadline that is
compared with the operator's own would end trials too early by as much as that is ahead. Each answer has the
server's time in its ``Date`` (RFC 9110, whole seconds), and says so within how long the answer took.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

# A header cuts off what is below.
STEP_SECONDS = 1.0


class ServerTime:
    """``machine`` is this machine's time of day. It counts until answers show that it is wrong."""

    def __init__(self, machine: Callable[[], float]) -> None:
        self._machine = machine
        # By how much the machine's clock is ahead, and whether the last answer had it be more (1) or less (-1).
        self._ahead, self._doubt = 0.0, 0
        self._date: str | None = None
        self._seconds = 0.0

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._machine() - self._ahead

    def sent(self) -> float:
        """When a request is sent; for ``answered``."""
        return self._machine()

    def answered(self, date: str | None, sent: float) -> None:
        """Take in an answer's ``Date``. One alone, such as a proxy's whose clock is wrong, moves nothing."""
        if date is None or not self._is_read(date):
            return
        least, most = sent - self._seconds - STEP_SECONDS, self._machine() - self._seconds
        doubt = (self._ahead < least) - (self._ahead > most)
        if doubt and doubt == self._doubt and least <= most:
            self._ahead, doubt = (least if doubt > 0 else most), 0
        self._doubt = doubt

    def _is_read(self, date: str) -> bool:
        """Whether that is a date; most answers of one second have the same."""
        if date != self._date:
            try:
                self._seconds = parsedate_to_datetime(date).timestamp()
            except (ValueError, TypeError, OverflowError):
                return False
            self._date = date
        return True
