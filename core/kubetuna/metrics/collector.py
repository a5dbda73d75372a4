"""Reading one trial's log: lines that came, points that are not reported yet, and the durable reading state.

Lines are parsed as they come and taken into the curve only when the plan reports them, one by one, so that a
verdict to prune at a step leaves everything after it out, however many lines came at once, unless the trial turns
out to have finished by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from kubetuna.experiment.model import Collector, Experiment
from kubetuna.metrics.curve import Curve, Point, joined
from kubetuna.metrics.earlier_lines import EarlierLines
from kubetuna.metrics.lines import Announcement, LineReader, MetricLine, Protocol, Record, SeriesPart
from kubetuna.metrics.nearest import Nearest
from kubetuna.metrics.terminal import is_cut
from kubetuna.trials.attempts import LogChunk
from kubetuna.trials.outcome import Reading


class TrialLog:
    """The log of an open trial. ``state`` is what an earlier process stored of it, or empty."""

    def __init__(self, spec: Experiment, state: Mapping[str, Any]) -> None:
        self._objectives = tuple(o.metric for o in spec.objectives)
        self._curved = spec.curve.metric
        self._reader = LineReader(spec.metric_names, spec.collector.filters)
        self._source = _source(spec.collector)
        self._strategies = spec.strategies
        self._curve = Curve(self._curved, spec.strategies, state.get("curve", {}))
        self.repeat: int = state.get("repeat", 0)
        self._waiting: deque[Record] = deque()
        self._attempt: int = state.get("attempt", -1)
        self._announced: Literal["OutOfMemory"] | None = state.get("announced")
        self.protocol: str = state.get("protocol", "")
        self.cursor: str = state.get("cursor", "")
        # What is stored is exact in the middle of a chunk too: a cursor, and how many records after it were taken.
        self._taken_cursor = self.cursor
        self._taken = self._again = int(state.get("taken", 0))
        self.drained = self._lost = False
        # Of the object whose log it is, where its place has such.
        self._uid: str | None = None
        self._nearest = [Nearest(name, dict(state.get("near", {}).get(name, {}))) for name in self._objectives]
        # Lines of this attempt of which only the end is known.
        self._cut = self._settled_cut = int(state.get("cut", 0))
        # An earlier version kept only whether the program is quoted.
        self._settled_earlier = state.get("earlier", {"quotes": True} if state.get("quote") else {})
        self._reader.earlier = EarlierLines.from_state(self._settled_earlier)
        self.series: dict[str, list[float]] = {}
        self.series_changed = False

    @property
    def unreported(self) -> int:
        """Records that were read and are not in the curve yet."""
        return len(self._waiting)

    def turn_to(self, attempt: int, repeat: int = 0, uid: str | None = None) -> None:
        """From now on the lines of this attempt count, and those of earlier ones no more.

        A further repeat is another run of the same parameters: nothing that was read before speaks for it. Nor does
        the end of a log where another object runs the attempt, as one that a node refused is made again.
        """
        if uid != self._uid:
            self._uid, self.drained, self._lost = uid, False, False
        if attempt == self._attempt:
            return
        self._attempt = attempt
        if repeat != self.repeat:
            self._curve = Curve(self._curved, self._strategies, {})
            self.repeat = repeat
        self._curve.begin_attempt()
        self._waiting.clear()
        self._announced = None
        self.cursor, self._cut, self._reader.earlier = "", 0, EarlierLines()
        self._nearest = [Nearest(name) for name in self._objectives]
        self._settle()
        self.drained = self._lost = False
        self.series = {}

    def reopen(self) -> None:
        """Its attempt goes on, be it after all: more may come."""
        self.drained = self._lost = False

    def take(self, chunk: LogChunk) -> None:
        """Parse the lines of a chunk."""
        found = self._take_lines(chunk.lines) if chunk.lines else []
        self.cursor = chunk.cursor
        self.drained = chunk.drained
        said = {name for r in found if isinstance(r, MetricLine) for name in r.values}
        # What the place says itself comes last, so it makes up for what was not read before it.
        self._lost = chunk.lost and not said.issuperset(self._objectives)

    def _take_lines(self, lines: Sequence[bytes]) -> list[Record]:
        found = list(self._read(lines))
        self._waiting.extend(found[self._again :])
        self._again = max(0, self._again - len(found))
        self._cut += sum(map(is_cut, lines))
        return found

    def _read(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """What the lines report. Those without an objective that has no value yet are looked at more closely."""
        wanted = [near for near in self._nearest if near.metric not in self._curve.latest]
        for line in lines:
            record = self._reader.read(line)
            if record is not None:
                yield record
            for near in wanted:
                if not isinstance(record, MetricLine) or near.metric not in record.values:
                    near.look(line)

    def records(self, known_steps: Mapping[int, float]) -> Iterator[Point | None]:
        """Take waiting records into the curve, one by one, each with the point that it makes, if any."""
        while self._waiting:
            self._taken += 1
            yield self._apply(self._waiting.popleft(), known_steps)
        self._settle()

    def _settle(self) -> None:
        """Nothing waits: all up to the cursor was taken, or is left out."""
        self._taken_cursor, self._taken, self._again = self.cursor, 0, 0
        self._settled_cut, self._settled_earlier = self._cut, self._reader.earlier.to_state()

    def _apply(self, record: Record, known_steps: Mapping[int, float]) -> Point | None:
        match record:
            case MetricLine():
                return self._curve.accept(record, known_steps)
            case SeriesPart():
                self.series = joined(self.series, record)
                self.series_changed = True
            case Protocol(digest):
                self.protocol = digest
            case Announcement():
                self._announced = "OutOfMemory"
        return None

    def forget_unreported(self) -> None:
        """Drop what came after a verdict."""
        self._waiting.clear()
        self._settle()

    def reading(self) -> Reading:
        """What the log says so far."""
        values = self._curve.values()
        missing = _missing(self._objectives, values, self._curve.invalid)
        return Reading(
            values=values,
            missing=missing,
            invalid={
                n: text for n, text in self._curve.invalid.items() if n in self._objectives and n not in values
            },
            announced=self._announced,
            cut=self._cut,
            lost=self._lost,
            hint="; ".join(filter(None, self._hints(missing))) if self.drained else "",
            source=self._source,
        )

    def _hints(self, missing: Sequence[str]) -> Iterator[str]:
        return (near.hint() for near in self._nearest if near.metric in missing)

    def state(self) -> dict[str, Any]:
        """What to store so that another process reads on from here."""
        state = {"attempt": self._attempt, "cursor": self._taken_cursor, "curve": self._curve.to_state()}
        spoken: dict[str, Any] = {"announced": self._announced, "protocol": self.protocol, "repeat": self.repeat}
        spoken |= {"taken": self._taken, "cut": self._settled_cut, "earlier": self._settled_earlier}
        wanted = (near for near in self._nearest if near.found and near.metric not in self._curve.latest)
        spoken["near"] = {near.metric: near.found for near in wanted}
        return state | {name: value for name, value in spoken.items() if value}


def _source(collector: Collector) -> str:
    """What is read, where it is not the log."""
    return f"the event files in {collector.path}" if collector.kind == "TensorFlowEvent" else collector.path


def _missing(names: Sequence[str], values: Mapping[str, float], invalid: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in values and name not in invalid)
