"""One answer of a Pod's log: which of its lines are new, and where to go on. Pure.

The kubelet gives every line a time to the nanosecond, but begins only at whole seconds. So a cursor is the last
line's time and how many lines in a row had it, reads begin a second earlier, and whatever comes before that line is
known. The order is that of the file: lines of stdout and stderr may be there in another order than their times.
Times are compared as instants, since a node writes its own zone, which has two offsets a year.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from kubetuna.trials.attempts import end_of

Instant = tuple[int, int]
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
STAMP_LENGTH = 40


class Page:
    """Lines after the one at a cursor.

    Where that line does not come again, the kubelet has begun a new file: ``gap``. What has no time is no line of
    the container but the kubelet's word for what it could not do: ``unreadable``.
    """

    def __init__(self, cursor: str) -> None:
        self._last, _, count = cursor.partition("|")
        self._anchor = instant(self._last)
        self._at = self._anchor
        self._seen = self._count = int(count) if self._anchor and count.isdecimal() else 0
        self._unseen = self._seen
        self.lines: list[bytes] = []
        self.size = 0
        self.unreadable = False

    @property
    def cursor(self) -> str:
        """Where to go on."""
        return f"{self._last}|{self._count}" if self._last else ""

    @property
    def gap(self) -> bool:
        """Whether lines may be lost between what was known and what is new."""
        return self._unseen > 0 and bool(self.lines)

    def take(self, raw: bytes) -> None:
        """One line as the kubelet gives it: time, space, text."""
        stamp, _, line = raw.partition(b" ")
        at = instant(text := stamp.decode("ascii", "replace"))
        if at is None:
            self.unreadable = self.unreadable or bool(raw.strip())
        elif self._unseen and self._anchor and at <= self._anchor:
            self._recognize(text, at)
        else:
            self._add(text, at, line)

    def _recognize(self, stamp: str, at: Instant) -> None:
        """A line that is known, and so is all that came before it."""
        if at == self._anchor:
            self._unseen -= 1
            self._last, self._at, self._count = stamp, at, self._seen
            self.lines.clear()
            self.size = 0

    def _add(self, stamp: str, at: Instant, line: bytes) -> None:
        self._count = self._count + 1 if at == self._at else 1
        self._last, self._at = stamp, at
        self.lines.append(end_of(line))
        self.size += len(self.lines[-1])


def since(cursor: str) -> str | None:
    """From when on to ask for lines: a second before the cursor's, since neighbours may change places."""
    at = instant(cursor.partition("|")[0])
    return datetime.fromtimestamp(max(0, at[0] - 1), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def seconds(cursor: str) -> float | None:
    """The time of a cursor's line."""
    at = instant(cursor.partition("|")[0])
    return at[0] + at[1] / 1e9 if at else None


def instant(stamp: str) -> Instant | None:
    """Whole seconds since the epoch, and nanoseconds; None of what is not a time."""
    found = _STAMP.fullmatch(stamp)
    second = _second(f"{found[1]}{found[3]}") if found else None
    return (second, int((found[2] or "0").ljust(9, "0"))) if found and second is not None else None


@lru_cache(maxsize=1024)
def _second(stamp: str) -> int | None:
    try:
        return int(datetime.fromisoformat(stamp).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
