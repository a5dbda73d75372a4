"""The lines of a Pod's log, polled with a cursor (``log_page``).

Streams are read without a byte limit, which could return the same page for ever. After the end everything is read,
and the container's termination message comes last. A Pod that has ended well holds no GPU, so its log is asked for
for minutes before its end counts as lost. Reads run beside the engine, which takes what has come: one that found
something asks for a turn, one that found nothing is noticed in the next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from kubetuna.metrics.terminal import is_cut
from kubetuna.trials.attempts import LINE_LIMIT, AttemptKey, ExitFacts, LogChunk
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection, split_lines
from kubetuna_operator.kube.work_queue import wait_after
from kubetuna_operator.pods.status import PodView
from kubetuna_operator.telemetry import LOG_GAPS, LOG_LAG
from kubetuna_operator.workloads.log_page import STAMP_LENGTH, Page, seconds, since

log = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024
FASTEST, SLOWEST, FIRST = 0.25, 5.0, 0.5
# How long the log of a Pod that ended is asked for: of one that ended well its value is there, of others its end
# says enough.
FINAL_PATIENCE, OTHER_PATIENCE = 600.0, 30.0
SILENCE = 20.0


@dataclass(slots=True)
class _Pace:
    """How often one Pod is looked at: twice per line once its lines' distance is known, rarer while it is quiet."""

    due: float = 0.0
    quiet: int = 0
    distance: float | None = None
    last: float | None = None

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
    """A read that is under way: from which cursor, whether the Pod had ended before it began, when it was over."""

    cursor: str
    ended: bool
    result: Future[LogChunk]
    over: list[float]


@dataclass(slots=True)
class _Reading:
    """What is known of one Pod's log: since when it can only be read to its end, how often that failed."""

    uid: str
    pace: _Pace = field(default_factory=_Pace)
    flight: _Flight | None = None
    ended: float | None = None
    failures: int = 0

    def end(self, now: float) -> None:
        """Its last lines are due at once."""
        if self.ended is None:
            self.ended = self.pace.due = now

    def go_on(self) -> None:
        """It has not ended after all: a node that counted as lost is back."""
        self.ended, self.failures = None, 0

    def fail(self, now: float) -> None:
        """The end could not be read: later again."""
        self.failures += 1
        self.pace.due = now + wait_after(self.failures, FASTEST, SLOWEST)


class Pods(Protocol):
    """The Pods whose logs are read."""

    changed: threading.Event

    def find(self, key: AttemptKey) -> PodView | None:
        """The Pod of an attempt, if there is one."""

    def gone(self, key: AttemptKey) -> ExitFacts | None:
        """How an attempt ended of which a fresh look found no Pod; None while there is one."""

    def over(self, pod: PodView) -> bool:
        """Whether the plan is told that this Pod has ended."""

    def read_interval(self) -> float:
        """Seconds between two reads of a Pod, so that all get theirs."""


class PodLogs:
    """Logs of the Pods of ``pods``. ``container`` names the primary one."""

    def __init__(
        self,
        context: OperatorContext,
        ref: ExperimentRef,
        container: str,
        pods: Pods,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._api, self._readers, self._events = context.api, context.readers, context.events
        self._about, self._path, self._container = ref, collection("pods", ref.owner.namespace), container
        self._pods, self._clock, self._now = pods, context.clock, now or context.monotonic
        self._budget = context.read_budget
        self._readings: dict[AttemptKey, _Reading] = {}
        # Whether a read waits until another one is over.
        self._crowded = False

    def read(self, key: AttemptKey, cursor: str) -> LogChunk:
        """The lines after ``cursor`` that have come; none where a read is under way, or it is too early for one."""
        pod = self._pods.find(key)
        if pod is None:
            gone = self._pods.gone(key) is not None
            self._readings.pop(key, None)
            return LogChunk((), cursor, drained=gone, lost=gone)
        reading, now = self._reading(pod), self._now()
        # Also one that will never start, or whose node is lost: then there is nothing more to come.
        if ended := self._pods.over(pod):
            reading.end(now)
        else:
            reading.go_on()
        chunk = self._land(pod, reading, cursor, now)
        if reading.flight is not None or chunk != LogChunk((), cursor) or now < reading.pace.due:
            return chunk
        reading.flight = self._begin(pod, reading, cursor, ended)
        return self._land(pod, reading, cursor, now)

    def _reading(self, pod: PodView) -> _Reading:
        known = self._readings.get(pod.key)
        if known is None or known.uid != pod.uid:
            known = self._readings[pod.key] = _Reading(pod.uid)
        return known

    def _begin(self, pod: PodView, reading: _Reading, cursor: str, ended: bool) -> _Flight | None:
        """Ask for a read; none while others have to go first."""
        who = self._about.owner.uid, pod.node or ""
        if not self._budget.take(*who, ended):
            self._crowded = True
            return None
        times: list[float] = []

        def over(read: Future[LogChunk]) -> None:
            times.append(self._now())
            self._budget.give_back(*who)
            last, crowded, self._crowded = reading.ended is not None, self._crowded, False
            if last or crowded or read.exception() or read.result() != LogChunk((), cursor):
                self._pods.changed.set()

        try:
            result = self._readers.submit(self._fetch, pod, cursor, ended)
        except Exception:
            # Where no thread can be started: nobody else would give its place back.
            self._budget.give_back(*who)
            raise
        result.add_done_callback(over)
        return _Flight(cursor, ended, result, times)

    def _land(self, pod: PodView, reading: _Reading, cursor: str, now: float) -> LogChunk:
        flight = reading.flight
        if flight is None or not flight.result.done():
            return LogChunk((), cursor)
        reading.flight = None
        chunk = flight.result.result()
        if flight.cursor != cursor:
            return LogChunk((), cursor)
        last = seconds(chunk.cursor) if chunk.lines else None
        if not flight.ended:
            reading.pace.learn(len(chunk.lines), last, next(iter(flight.over), now), self._pods.read_interval())
            if reading.ended is not None:
                reading.pace.due = now
        elif not (chunk.drained or chunk.lines):
            chunk = self._fail_end(pod, reading, chunk, now)
        if last is not None:
            LOG_LAG.observe(max(0.0, self._clock.now() - last))
        if chunk.lines:
            failpoint("read")
        if chunk.gap:
            self._emit_gap(pod)
        if cut := sum(map(is_cut, chunk.lines)):
            text = f"{cut} lines of Pod {pod.name}'s log are longer than {LINE_LIMIT} bytes: their ends are read"
            self._events.emit(self._about.owner, "LogLineCut", text, warning=True)
        if chunk.drained:
            self._readings.pop(pod.key, None)
        return chunk

    def _fail_end(self, pod: PodView, reading: _Reading, chunk: LogChunk, now: float) -> LogChunk:
        """The end of a log was not read; once more, unless it has been tried for long enough."""
        reading.fail(now)
        well = pod.exit is not None and pod.exit.by_itself
        if now <= (reading.ended or now) + (FINAL_PATIENCE if well else OTHER_PATIENCE):
            return chunk
        return _lost(pod, chunk.cursor)

    def _emit_gap(self, pod: PodView) -> None:
        LOG_GAPS.inc()
        text = f"lines of Pod {pod.name}'s log may be lost: it prints more than is kept of it, or its log is gone"
        log.warning("%s", text, extra=self._about.attempt(pod.key))
        self._events.emit(self._about.owner, "LogGap", text, warning=True)

    def _fetch(self, pod: PodView, cursor: str, ended: bool) -> LogChunk:
        """One read, in a reader's thread; without lines and not drained where it failed."""
        try:
            chunk = self._page(pod, cursor, ended)
            self._budget.note(pod.node or "", answers=True)
            return chunk
        except Refused as error:
            if ended and error.code == 404:
                return _lost(pod, cursor)
            if ended and error.code == 400 and pod.started is None:
                return LogChunk((), cursor, drained=True)
        except Unreachable:
            # As after any other refusal: later again.
            self._budget.note(pod.node or "", answers=False)
        return LogChunk((), cursor)

    def _page(self, pod: PodView, cursor: str, ended: bool) -> LogChunk:
        query = {"container": self._container, "timestamps": "true", "sinceTime": since(cursor)}
        page = Page(cursor)
        pieces = self._api.stream(f"{self._path}/{pod.name}/log", query, SILENCE)
        whole = ended and not pod.torn
        for raw in split_lines(pieces, LINE_LIMIT + STAMP_LENGTH, tail=whole, head=STAMP_LENGTH):
            page.take(raw)
            if page.size >= MOST_BYTES:
                return LogChunk(tuple(page.lines), page.cursor, gap=page.gap)
        if ended and pod.torn and not page.lines:
            return _lost(pod, page.cursor)
        drained = whole and not page.unreadable
        words = _last_words(pod) if drained else ()
        return LogChunk((*page.lines, *words), page.cursor, drained=drained, gap=page.gap)


def _lost(pod: PodView, cursor: str) -> LogChunk:
    """The end of a log that can't be read any more; what the container left as its last word is still known."""
    return LogChunk(_last_words(pod), cursor, drained=True, gap=True, lost=True)


def _last_words(pod: PodView) -> tuple[bytes, ...]:
    """The termination message of a container that ended well; after a failure it is but the log's tail."""
    if pod.exit is None or pod.exit.exit_code != 0 or not pod.last_word:
        return ()
    return tuple(pod.last_word.encode().split(b"\n"))
