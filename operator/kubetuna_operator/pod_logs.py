"""The lines of a Pod's log, polled with a cursor.

The API server gives lines with the kubelet's nanosecond timestamps but begins only at whole seconds, so the cursor
is the last line's timestamp and how many lines had it; what lies before is skipped. Streams are read without a byte
limit, which could return the same page for ever. After the end everything is read, and the container's
termination message comes last.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kubetuna.ports import AttemptKey, LogChunk
from kubetuna_operator.pod_facts import PodView
from kubetuna_operator.telemetry import LOG_GAPS
from kubetuna_operator.transport import Api, Refused, Unreachable, collection, split_lines

MOST_BYTES = 1024 * 1024
LONGEST_LINE = 64 * 1024
FASTEST, SLOWEST = 0.5, 5.0
# Reads of all running Pods together, per second: log reads are proxied to kubelets, one connection each.
READS_PER_SECOND = 20.0
FINAL_PATIENCE = 30.0
SILENCE = 20.0
STAMP_LENGTH = 40


class PodLogs:
    """Logs of the Pods that ``find`` knows. ``container`` names the primary one."""

    def __init__(
        self, api: Api, namespace: str, container: str, find: Callable[[AttemptKey], PodView | None],
        running: Callable[[], int], over: Callable[[PodView], bool] = lambda pod: pod.exit is not None,
    ) -> None:  # fmt: skip
        self._api, self._path, self._container = api, collection("pods", namespace), container
        self._find, self._running, self._over = find, running, over
        self._due: dict[str, float] = {}
        self._quiet: dict[str, float] = {}
        self._given_up: dict[str, float] = {}

    def read(self, key: AttemptKey, cursor: str) -> LogChunk:
        """The lines after ``cursor``; none where it is too early to look again."""
        pod = self._find(key)
        if pod is None:
            return LogChunk((), cursor, drained=True)
        # Also one that will never start, or whose node is lost: then there is nothing more to come.
        ended = self._over(pod)
        now = time.monotonic()
        if not ended and now < self._due.get(pod.uid, 0.0):
            return LogChunk((), cursor)
        try:
            chunk = self._fetch(pod, cursor, ended)
        except Refused as error:
            # 400: the container has not started; 404: the Pod is gone, and its log with it.
            chunk = LogChunk((), cursor, drained=ended or error.code == 404, gap=error.code == 404)
        except Unreachable:
            chunk = self._unreachable(pod, cursor, ended, now)
        self._plan_next(pod, chunk, now)
        return chunk

    def _plan_next(self, pod: PodView, chunk: LogChunk, now: float) -> None:
        quiet = 0.0 if chunk.lines else self._quiet.get(pod.uid, 0.0) + 1
        self._quiet[pod.uid] = quiet
        own = min(SLOWEST, FASTEST * (1 + quiet / 4))
        self._due[pod.uid] = now + max(own, self._running() / READS_PER_SECOND)
        if chunk.gap:
            LOG_GAPS.inc()
        if chunk.drained:
            for table in (self._due, self._quiet, self._given_up):
                table.pop(pod.uid, None)

    def _unreachable(self, pod: PodView, cursor: str, ended: bool, now: float) -> LogChunk:
        since = self._given_up.setdefault(pod.uid, now)
        if ended and now > since + FINAL_PATIENCE:
            return LogChunk(_last_words(pod), cursor, drained=True, gap=True)
        return LogChunk((), cursor)

    def _fetch(self, pod: PodView, cursor: str, ended: bool) -> LogChunk:
        stamp, seen = _parse(cursor)
        query = {"container": self._container, "timestamps": "true", "sinceTime": _whole(stamp) or None}
        page = _Page(stamp, seen)
        pieces = self._api.stream(f"{self._path}/{pod.name}/log", query, SILENCE)
        for raw in split_lines(pieces, LONGEST_LINE + STAMP_LENGTH):
            page.take(raw)
            if page.size >= MOST_BYTES:
                return LogChunk(tuple(page.lines), page.cursor)
        return LogChunk(tuple(page.lines) + (_last_words(pod) if ended else ()), page.cursor, drained=ended)


class _Page:
    """Lines after a timestamp, of which the first ``seen`` that carry it are known."""

    def __init__(self, stamp: str, seen: int) -> None:
        self._stamp, self._known = stamp, seen
        self._last, self._count = stamp, seen
        self.lines: list[bytes] = []
        self.size = 0

    @property
    def cursor(self) -> str:
        """Where to go on."""
        return f"{self._last}|{self._count}" if self._last else ""

    def take(self, raw: bytes) -> None:
        """One line as the kubelet gives it: timestamp, space, text."""
        at, _, line = raw.partition(b" ")
        stamp = at.decode("ascii", "replace")
        if stamp < self._stamp:
            return
        if stamp == self._stamp and self._known:
            self._known -= 1
            return
        self._count = self._count + 1 if stamp == self._last else 1
        self._last = stamp
        if len(line) <= LONGEST_LINE:
            self.lines.append(line)
            self.size += len(line)


def _last_words(pod: PodView) -> tuple[bytes, ...]:
    """The termination message of a container that ended well; after a failure it is but the log's tail."""
    if pod.exit is None or pod.exit.exit_code != 0 or not pod.last_word:
        return ()
    return tuple(pod.last_word.encode().split(b"\n"))


def _parse(cursor: str) -> tuple[str, int]:
    stamp, _, count = cursor.partition("|")
    return stamp, int(count or 0)


def _whole(stamp: str) -> str:
    """The timestamp without its fraction: all that the API server looks at."""
    seconds, _, fraction = stamp.partition(".")
    return seconds + fraction.lstrip("0123456789") if stamp else ""
