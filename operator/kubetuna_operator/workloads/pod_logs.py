"""The lines of a Pod's log, polled with a cursor.

The API server gives lines with the kubelet's nanosecond timestamps but begins only at whole seconds, so the cursor
is the last line's timestamp and how many lines had it; what lies before is skipped. Streams are read without a byte
limit, which could return the same page for ever. After the end everything is read, and the container's
termination message comes last. Reads run beside the engine, which takes what has come.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from kubetuna.metrics.terminal import is_cut
from kubetuna.trials.attempts import LINE_LIMIT, AttemptKey, LogChunk, end_of
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection, split_lines
from kubetuna_operator.pods.status import PodView
from kubetuna_operator.telemetry import LOG_GAPS, LOG_LAG

log = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024
LONGEST_LINE = LINE_LIMIT
FASTEST, SLOWEST, FIRST = 0.25, 5.0, 0.5
# Reads of all running Pods together, per second: log reads are proxied to kubelets, one connection each.
READS_PER_SECOND = 20.0
FINAL_PATIENCE = 30.0
SILENCE = 20.0
STAMP_LENGTH = 40


@dataclass(slots=True)
class _Pace:
    """How often one Pod is looked at: twice per line once its lines' distance is known, rarer while it is quiet."""

    due: float = 0.0
    quiet: int = 0
    distance: float | None = None
    last: float | None = None
    unreachable_since: float | None = None

    def learn(self, lines: int, last: float | None, now: float, share: float) -> None:
        """Plan the next look after one that found ``lines`` new ones, the latest of the node's time ``last``."""
        self.quiet = 0 if lines else self.quiet + 1
        if lines and last is not None:
            if self.last is not None:
                step = max(0.0, last - self.last) / lines
                self.distance = step if self.distance is None else (self.distance + step) / 2
            self.last = last
        own = FIRST * (1 + self.quiet / 4) if self.distance is None else self.distance / 2
        self.due = now + max(share, min(SLOWEST, max(FASTEST, own)))


@dataclass(frozen=True, slots=True)
class _Flight:
    """A read that is under way: from which cursor, and whether the Pod had ended before it began."""

    cursor: str
    ended: bool
    result: Future[LogChunk]


@dataclass(slots=True)
class _Reading:
    """What is known of one Pod's log."""

    pace: _Pace = field(default_factory=_Pace)
    flight: _Flight | None = None


class Pods(Protocol):
    """The Pods whose logs are read."""

    changed: threading.Event

    def find(self, key: AttemptKey) -> PodView | None:
        """The Pod of an attempt, if there is one."""

    def over(self, pod: PodView) -> bool:
        """Whether the plan is told that this Pod has ended."""

    def running(self) -> int:
        """Pods of all experiments that may print now."""


class PodLogs:
    """Logs of the Pods of ``pods``. ``container`` names the primary one."""

    def __init__(self, context: OperatorContext, ref: ExperimentRef, container: str, pods: Pods) -> None:
        self._api, self._readers, self._events = context.api, context.readers, context.events
        self._about, self._path, self._container = ref, collection("pods", ref.owner.namespace), container
        self._pods = pods
        self._readings: dict[str, _Reading] = {}

    def read(self, key: AttemptKey, cursor: str) -> LogChunk:
        """The lines after ``cursor`` that have come; none where a read is under way, or it is too early for one."""
        pod = self._pods.find(key)
        if pod is None:
            return LogChunk((), cursor, drained=True)
        # Also one that will never start, or whose node is lost: then there is nothing more to come.
        ended = self._pods.over(pod)
        reading = self._readings.setdefault(pod.uid, _Reading())
        now = time.monotonic()
        if reading.flight is None:
            if not ended and now < reading.pace.due:
                return LogChunk((), cursor)
            result = self._readers.submit(self._fetch, pod, cursor, ended, reading.pace)
            reading.flight = _Flight(cursor, ended, result)
            result.add_done_callback(lambda _: self._pods.changed.set())
        return self._land(pod, reading, reading.flight, cursor, now)

    def _land(self, pod: PodView, reading: _Reading, flight: _Flight, cursor: str, now: float) -> LogChunk:
        if not flight.result.done():
            return LogChunk((), cursor)
        reading.flight = None
        chunk = flight.result.result()
        if flight.cursor != cursor:
            return LogChunk((), cursor)
        last = _seconds(chunk.cursor.partition("|")[0]) if chunk.lines else None
        reading.pace.learn(len(chunk.lines), last, now, self._pods.running() / READS_PER_SECOND)
        if last is not None:
            LOG_LAG.observe(max(0.0, time.time() - last))
        if chunk.lines:
            failpoint("read")
        if chunk.gap:
            self._emit_gap(pod)
        if cut := sum(map(is_cut, chunk.lines)):
            text = f"{cut} lines of Pod {pod.name}'s log are longer than {LONGEST_LINE} bytes: their ends are read"
            self._events.emit(self._about.owner, "LogLineCut", text, warning=True)
        if chunk.drained:
            self._readings.pop(pod.uid, None)
        return chunk

    def _emit_gap(self, pod: PodView) -> None:
        LOG_GAPS.inc()
        text = f"lines of Pod {pod.name}'s log may be lost: it prints more than is kept of it, or its log is gone"
        log.warning("%s", text, extra=self._about.attempt(pod.key))
        self._events.emit(self._about.owner, "LogGap", text, warning=True)

    def _fetch(self, pod: PodView, cursor: str, ended: bool, pace: _Pace) -> LogChunk:
        """One read, in a reader's thread."""
        try:
            chunk = self._page(pod, cursor, ended)
        except Refused as error:
            if error.code == 400:
                # The container has not started.
                return LogChunk(_last_words(pod) if ended else (), cursor, drained=ended)
            if error.code == 404:
                return LogChunk(_last_words(pod), cursor, drained=True, gap=True)
            return self._unreachable(pod, cursor, ended, pace)
        except Unreachable:
            return self._unreachable(pod, cursor, ended, pace)
        pace.unreachable_since = None
        return chunk

    def _unreachable(self, pod: PodView, cursor: str, ended: bool, pace: _Pace) -> LogChunk:
        now = time.monotonic()
        since = pace.unreachable_since = pace.unreachable_since or now
        if ended and now > since + FINAL_PATIENCE:
            return LogChunk(_last_words(pod), cursor, drained=True, gap=True)
        if ended:
            time.sleep(FASTEST)
        return LogChunk((), cursor)

    def _page(self, pod: PodView, cursor: str, ended: bool) -> LogChunk:
        stamp, seen = _parse(cursor)
        query = {"container": self._container, "timestamps": "true", "sinceTime": _whole(stamp) or None}
        page = Page(stamp, seen)
        pieces = self._api.stream(f"{self._path}/{pod.name}/log", query, SILENCE)
        for raw in split_lines(pieces, LONGEST_LINE + STAMP_LENGTH, tail=ended, head=STAMP_LENGTH):
            page.take(raw)
            if page.size >= MOST_BYTES:
                return LogChunk(tuple(page.lines), page.cursor, gap=page.gap)
        words = _last_words(pod) if ended else ()
        return LogChunk((*page.lines, *words), page.cursor, drained=ended, gap=page.gap)


class Page:
    """Lines after a timestamp, of which the first ``seen`` that carry it are known.

    The known ones come again, since reads begin at whole seconds; where they do not, the kubelet has begun a new
    file, and what was written between may be lost: ``gap``.
    """

    def __init__(self, stamp: str, seen: int) -> None:
        self._stamp, self._known = stamp, seen
        self._last, self._count = stamp, seen
        self.lines: list[bytes] = []
        self.size = 0
        self.gap = False

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
        self.gap = self.gap or self._known > 0
        self._known = 0
        self._count = self._count + 1 if stamp == self._last else 1
        self._last = stamp
        self.lines.append(end_of(line))
        self.size += len(self.lines[-1])


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


def _seconds(stamp: str) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None
