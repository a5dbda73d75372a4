r"""From one line of a trial's log to what it reports.

JSON objects are always read; any other line goes through Katib's default filter, or the filters that replace
it. A report says which of the two it came from, since JSON beats text. Everything here is hostile input: what
counts is what a terminal would show of a line, only ``\n`` ends one, sizes are bounded, and nothing but finite
numbers of known metrics leaves. What the reports add up to over a trial's attempts is ``kubetuna.metrics.curve``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubetuna.metrics.filters import FILTERED_LENGTH, compile_filter, default_pairs
from kubetuna.metrics.terminal import shown
from kubetuna.trials.attempts import LINE_LIMIT

SERIES_POINTS = 1_000
NAME_LIMIT = 64
STEP_LIMIT = 2**31 - 1
OUT_OF_MEMORY = "OutOfMemory"
DIGEST_LIMIT = 64
_SPOKEN = frozenset({"outcome", "series", "protocol"})

_PADDING = " \t\r\n\v\f\0\ufeff"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?\Z", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,10}(?:\.0*)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One line's metrics. ``step`` is None where it gives none; ``invalid`` holds what is no finite number.

    ``text``: found in a line by a filter, perhaps by chance, rather than given as JSON on purpose.
    """

    step: int | None
    values: Mapping[str, float]
    invalid: Mapping[str, str] = field(default_factory=dict)
    text: bool = False


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
        self._marks = (*(name.encode() for name in metrics), b'"outcome"', b'"series"', b'"protocol"', b"\\u")
        self._filters = tuple(compile_filter(text) for text in filters)

    def read(self, line: bytes) -> Record | None:
        """What the line reports, or None. Never raises, whatever the bytes."""
        if b"\r" in line or b"\x1b" in line or b"\b" in line or len(line) > LINE_LIMIT:
            line = shown(line)
        for mark in self._marks:
            if mark in line:
                return self._parse(line.decode("utf-8", "replace"))
        return None

    def _parse(self, text: str) -> Record | None:
        for found in _objects(text):
            if not _SPOKEN.isdisjoint(found) or not self._known.isdisjoint(found):
                return self._from_object(found)
        return self._from_filters(text)

    def _from_object(self, found: Mapping[str, Any]) -> Record | None:
        if found.get("outcome") == OUT_OF_MEMORY and "outcome" not in self._known:
            return Announcement(OUT_OF_MEMORY)
        if isinstance(found.get("series"), str) and "series" not in self._known:
            return _series(found)
        present = [(name, found[name]) for name in self._metrics if name in found]
        if not present:
            return _protocol(found)
        if found.get("step") is None or "step" in self._known:
            return _metric_line(None, present)
        step = _step(found["step"])
        return None if step is None else _metric_line(step, present)

    def _from_filters(self, text: str) -> Record | None:
        if not self._filters:
            return self._reported(default_pairs(text, self._known))
        return self._reported(pair for pairs in self._filters for pair in pairs(text[-FILTERED_LENGTH:]))

    def _reported(self, pairs: Iterable[tuple[str, str]]) -> Record | None:
        known = [(name, value) for name, value in pairs if name in self._known]
        return _metric_line(None, known, text=True) if known else None


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    r"""The JSON object that a line is, if any.

    A progress bar ends in nothing, so what a trial prints next continues the bar's line.
    """
    whole = text.strip(_PADDING)
    start = whole.find('{"')
    if start < 0 or not whole.endswith("}"):
        return
    try:
        found = json.loads(whole[start:])
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict):
        yield found


def _metric_line(step: int | None, pairs: Iterable[tuple[str, Any]], text: bool = False) -> MetricLine:
    values: dict[str, float] = {}
    invalid: dict[str, str] = {}
    for name, raw in pairs:
        value = finite(raw)
        if value is None:
            values.pop(name, None)
            invalid[name] = str(raw)[:50]
        else:
            invalid.pop(name, None)
            values[name] = value
    return MetricLine(step, values, invalid, text)


def finite(raw: object) -> float | None:
    """A finite number of a JSON number, or of the text of one; else None. Booleans are no numbers."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str) and not _NUMBER.match(raw.strip()):
        return None
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _step(raw: object) -> int | None:
    """A step of a JSON number, or of the text of one; None for what is no whole number in range."""
    if isinstance(raw, str) and _WHOLE.match(raw.strip()):
        raw = float(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    if isinstance(raw, float) and not raw.is_integer():
        return None
    return int(raw) if 0 <= raw <= STEP_LIMIT else None


def _protocol(found: Mapping[str, Any]) -> Protocol | None:
    digest = found.get("protocol")
    return Protocol(digest[:DIGEST_LIMIT]) if isinstance(digest, str) and digest else None


def _series(found: Mapping[str, Any]) -> SeriesPart | None:
    start, values = _step(found.get("start", 0)), found.get("values")
    if start is None or not isinstance(values, list) or len(values) > SERIES_POINTS:
        return None
    numbers = [v for v in values if not isinstance(v, str) and finite(v) is not None]
    if len(numbers) != len(values):
        return None
    return SeriesPart(str(found["series"])[:NAME_LIMIT], start, tuple(map(float, numbers)))
