r"""From one line of a trial's log to what it reports.

JSON objects are always read; any other line goes through Katib's default filter, or the filters that replace
it. Everything here is hostile input: ANSI sequences are removed first, only ``\n`` ends a line, sizes are
bounded, and nothing but finite numbers of known metrics leaves. What the reports add up to over a trial's
attempts is ``kubetuna.logs.curve``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubetuna.logs.filters import DEFAULT_FILTER, FILTERED_LENGTH, compile_filter

LINE_LIMIT = 65_536
SERIES_LINE_LIMIT = 4_096
STEP_LIMIT = 2**31 - 1
OUT_OF_MEMORY = "OutOfMemory"

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One line's metrics. ``step`` is None where it gives none; ``invalid`` holds what is no finite number."""

    step: int | None
    values: Mapping[str, float]
    invalid: Mapping[str, str] = field(default_factory=dict)


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


Record = MetricLine | SeriesPart | Announcement


class LineReader:
    """Reads lines for the given metrics. ``filters`` replace the default one where there are any."""

    def __init__(self, metrics: Sequence[str], filters: Sequence[str] = ()) -> None:
        self._metrics = tuple(metrics)
        self._known = frozenset(metrics)
        self._encoded = tuple(name.encode() for name in metrics)
        self._filters = tuple(compile_filter(text) for text in filters or (DEFAULT_FILTER,))
        self._limit = FILTERED_LENGTH if filters else LINE_LIMIT

    def read(self, line: bytes) -> Record | None:
        """What the line reports, or None. Never raises, whatever the bytes."""
        if len(line) > LINE_LIMIT or not self._interesting(line):
            return None
        text = line.decode("utf-8", "replace")
        if "\x1b" in text:
            text = _ANSI.sub("", text)
        stripped = text.strip()
        if stripped.startswith("{") and stripped.endswith("}"):
            record = self._from_json(stripped)
            if record is not None:
                return record
        return self._from_filters(text)

    def _interesting(self, line: bytes) -> bool:
        if b"\x1b" in line:
            return True
        if b'"outcome"' in line or b'"series"' in line:
            return True
        return any(name in line for name in self._encoded) or b"\\u" in line

    def _from_json(self, text: str) -> Record | None:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        if found.get("outcome") == OUT_OF_MEMORY:
            return Announcement(OUT_OF_MEMORY)
        if isinstance(found.get("series"), str):
            return _series(found, len(text))
        return self._metrics_of(found)

    def _metrics_of(self, found: Mapping[str, Any]) -> Record | None:
        present = [name for name in self._metrics if name in found]
        if not present:
            return None
        step = None
        if "step" in found and "step" not in self._known:
            step = _step(found["step"])
            if step is None:
                return None
        return _metric_line(step, ((name, found[name]) for name in present))

    def _from_filters(self, text: str) -> Record | None:
        if len(text) > self._limit or not any(name in text for name in self._metrics):
            return None
        pairs = [
            (match.group(1).strip(), match.group(2).strip())
            for pattern in self._filters
            for match in pattern.finditer(text)
            if match.group(1) is not None and match.group(2) is not None
        ]
        known = [(name, value) for name, value in pairs if name in self._known]
        return _metric_line(None, known) if known else None


def _metric_line(step: int | None, pairs: Iterator[tuple[str, Any]] | list[tuple[str, Any]]) -> MetricLine:
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
    return MetricLine(step, values, invalid)


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
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    if isinstance(raw, float) and not raw.is_integer():
        return None
    return int(raw) if 0 <= raw <= STEP_LIMIT else None


def _series(found: Mapping[str, Any], length: int) -> SeriesPart | None:
    start, values = found.get("start", 0), found.get("values")
    if length > SERIES_LINE_LIMIT or not isinstance(values, list) or _step(start) is None:
        return None
    numbers = [finite(v) for v in values if not isinstance(v, str)]
    if len(numbers) != len(values) or any(v is None for v in numbers):
        return None
    return SeriesPart(str(found["series"])[:64], int(start), tuple(v for v in numbers if v is not None))
