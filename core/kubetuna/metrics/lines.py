r"""From one line of a trial's log to what it reports.

JSON objects and Python dicts are always read, behind any prefix and over several lines; any other line goes through
Katib's default filter and is looked at as a row of a table, or goes through the filters that replace both. A report
says which of the two it came from: JSON beats text. Everything here is hostile input: what counts is what a
terminal would show of a line, only ``\n`` ends one, sizes are bounded, and nothing but finite numbers of known
metrics leaves. What the reports add up to over a trial's attempts is ``kubetuna.metrics.curve``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kubetuna.metrics.earlier_lines import MAY_GO_ON, EarlierLines
from kubetuna.metrics.filters import FILTERED_LENGTH, compile_filter, default_filter, marks_of
from kubetuna.metrics.numbers import finite, step_of
from kubetuna.metrics.objects import objects
from kubetuna.metrics.ranks import rank_before, rank_in
from kubetuna.metrics.tables import head_of, row_of
from kubetuna.metrics.terminal import shown
from kubetuna.trials.attempts import LINE_LIMIT
from kubetuna.trials.masking import LONGEST, masked

SERIES_POINTS = 1_000
NAME_LIMIT = 64
OUT_OF_MEMORY = "OutOfMemory"
DIGEST_LIMIT = 64
_SPOKEN = frozenset({"outcome", "series", "protocol"})

# What says how far a trainer is, the most telling first.
STEP_KEYS = ("step", "global_step", "epoch")


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One line's metrics. ``step`` is None where it gives none; ``invalid`` holds what is no finite number.

    ``position``: in place of a step, where the report stands between two: half an epoch. ``text``: found in a line
    by a filter, perhaps by chance, rather than given as JSON on purpose. ``rank``: that of the process that speaks;
    ``unique``: the step is one, and no epoch, so a process reports it once. ``aside``: the names whose values are
    called the best, the target or the like.
    """

    step: int | None
    values: Mapping[str, float]
    invalid: Mapping[str, str] = field(default_factory=dict)
    text: bool = False
    position: float | None = None
    rank: int | None = None
    unique: bool = False
    aside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SeriesPart:
    """A piece of a named series, from index ``start``."""

    name: str
    start: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """A trainer's own word on how it ends."""

    outcome: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """A trainer's word on how it judges: the hash of its protocol of evaluation."""

    digest: str


Record = MetricLine | SeriesPart | Announcement | Protocol


class LineReader:
    """Reads lines for the given metrics. ``filters`` replace the default one where there are any.

    Raises:
        ValueError: a filter that ``compile_filter`` refuses.
    """

    def __init__(self, metrics: Sequence[str], filters: Sequence[str] = ()) -> None:
        self._metrics = tuple(metrics)
        self._known = frozenset(metrics)
        self._marks = (*_written((*metrics, *marks_of(filters))), b"outcome", b"series", b"protocol", b"\\u")
        self._default = default_filter(metrics)
        self._filters = tuple(compile_filter(text) for text in filters)
        self.earlier = EarlierLines()

    @property
    def earlier(self) -> EarlierLines:
        """What the lines so far say of the next one."""
        return self._earlier

    @earlier.setter
    def earlier(self, earlier: EarlierLines) -> None:
        self._earlier, self._open = earlier, earlier.open

    def read(self, line: bytes) -> Record | None:
        """What the line reports, or None. Never raises, whatever the bytes."""
        if b"\r" in line or b"\x1b" in line or b"\b" in line or len(line) > LINE_LIMIT:
            line = shown(line)
        quoted, whole = False, None
        # Of most lines it is enough to see how they end.
        if self._open or line[-1:] in MAY_GO_ON or b"Warning: " in line or b'", line ' in line:
            quoted, whole = self._earlier.quoted(line), self._earlier.joined(line)
            self._open = self._earlier.open
            if whole and (report := self._report(whole)):
                return self._from_object(report, rank_before(whole))
        for mark in self._marks:
            if mark in line:
                return self._parse(line.decode("utf-8", "replace"), quoted, whole is not None)
        if self._earlier.columns:
            row = line.decode("utf-8", "replace")
            return self._reported(row_of(row, self._earlier.columns, self._known), row)
        return None

    def _parse(self, text: str, quoted: bool, nested: bool) -> Record | None:
        report = None if nested or "{" not in text else self._report(text)
        if report is not None:
            return self._from_object(report, rank_before(text))
        record = None if quoted else self._from_filters(text)
        if record is None and not (quoted or self._filters):
            self._earlier.columns = head_of(text, self._known) or self._earlier.columns
        return record

    def _report(self, text: str) -> Mapping[str, Any] | None:
        """The last object that speaks."""
        report = None
        for found in objects(text):
            report = found if self._speaks(found) else report
        return report

    def _speaks(self, found: Mapping[str, Any]) -> bool:
        return not _SPOKEN.isdisjoint(found) or not self._known.isdisjoint(found)

    def _from_object(self, found: Mapping[str, Any], rank: int | None) -> Record | None:
        if found.get("outcome") == OUT_OF_MEMORY and "outcome" not in self._known:
            return Announcement(OUT_OF_MEMORY)
        if isinstance(found.get("series"), str) and "series" not in self._known:
            return _series(found)
        present = [(name, found[name]) for name in self._metrics if name in found]
        if not present:
            return _protocol(found)
        rank = rank_in(found, rank)
        for key in STEP_KEYS:
            if found.get(key) is None or key in self._known:
                continue
            place = step_of(found[key])
            if place is not None:
                return _metric_line(place, present, rank=rank, unique=key != "epoch")
            if key == "step":
                return None
        return _metric_line(None, present, rank=rank)

    def _from_filters(self, text: str) -> Record | None:
        if not self._filters:
            return self._assigned(text)
        return self._reported((p for pairs in self._filters for p in pairs(text[-FILTERED_LENGTH:])), text)

    def _assigned(self, text: str) -> Record | None:
        found = self._default(text)
        line = self._reported(((one.name, one.value) for one in found), text)
        if line is None or not any(one.aside for one in found):
            return line
        named = {*line.values, *line.invalid}
        return replace(line, aside=frozenset(named - {one.name for one in found if not one.aside}))

    def _reported(self, pairs: Iterable[tuple[str, str]], text: str) -> MetricLine | None:
        known = [(name, value) for name, value in pairs if name in self._known]
        return _metric_line(None, known, text=True, rank=rank_before(text)) if known else None


def _written(names: Iterable[str]) -> Iterable[bytes]:
    """The names as they may stand in a line: as they are, and with JSON's and Python's escapes."""
    forms = ((name, json.dumps(name, ensure_ascii=False)[1:-1], repr(name)[1:-1]) for name in names)
    return dict.fromkeys(form.encode() for written in forms for form in written)


def _metric_line(
    place: int | float | None,
    pairs: Iterable[tuple[str, Any]],
    text: bool = False,
    rank: int | None = None,
    unique: bool = False,
) -> MetricLine:
    values: dict[str, float] = {}
    invalid: dict[str, str] = {}
    for name, raw in pairs:
        value = finite(raw)
        if value is None:
            values.pop(name, None)
            invalid[name] = masked(str(raw)[:LONGEST])[:50]
        else:
            invalid.pop(name, None)
            values[name] = value
    if isinstance(place, float):
        return MetricLine(None, values, invalid, text, place, rank, unique)
    return MetricLine(place, values, invalid, text, None, rank, unique)


def _protocol(found: Mapping[str, Any]) -> Protocol | None:
    digest = found.get("protocol")
    return Protocol(digest[:DIGEST_LIMIT]) if isinstance(digest, str) and digest else None


def _series(found: Mapping[str, Any]) -> SeriesPart | None:
    start, values = step_of(found.get("start", 0)), found.get("values")
    if not isinstance(start, int) or not isinstance(values, list) or len(values) > SERIES_POINTS:
        return None
    numbers = [v for v in values if not isinstance(v, str) and finite(v) is not None]
    if len(numbers) != len(values):
        return None
    return SeriesPart(str(found["series"])[:NAME_LIMIT], start, tuple(map(float, numbers)))
