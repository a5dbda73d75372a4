"""Why a log reads as it does: for each line what was read from it, and why not more.

It takes every line through the same reader and curve as a trial's, so that what it says is what happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.metrics.curve import Curve, Point, without
from kubetuna.metrics.lines import Announcement, LineReader, MetricLine, Protocol, Record, SeriesPart
from kubetuna.metrics.nearest import Nearest
from kubetuna.metrics.numbers import STEP_LIMIT, step_of
from kubetuna.metrics.objects import objects
from kubetuna.metrics.settings import names_settings
from kubetuna.metrics.terminal import is_cut, shown
from kubetuna.trials.masking import masked

TEXT_LIMIT = 160


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    """A line as it counts, what was ``read`` from it, the ``step`` that it gave the curve, and ``why`` not more."""

    number: int
    text: str
    read: Mapping[str, float | str]
    step: int | None
    why: str


@dataclass(slots=True)
class Explanation:
    """Explains one attempt's log. After its lines: the ``values``, the ``curve``, a ``hint`` if there is none."""

    spec: Experiment
    curve: dict[int, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    hint: str = ""

    def lines(self, log: Iterable[bytes]) -> Iterator[ExplainedLine]:
        """Each line of a log, without its newline, explained."""
        objective, curved = self.spec.objectives[0].metric, self.spec.curve.metric
        reader = LineReader(self.spec.metric_names, self.spec.collector.filters)
        curve, nearest = Curve(curved, self.spec.strategies, {}), Nearest(objective)
        for number, line in enumerate(log, 1):
            record, step = reader.read(line), None
            if isinstance(record, MetricLine):
                step, read, why = self._report(curve, record, curved)
            else:
                nearest.look(line)
                read, why = _other(record, line, self.spec.metric_names)
            cut = "too long: only its end is read" if is_cut(line) else ""
            yield ExplainedLine(number, _text(line), read, step, "; ".join(filter(None, (why, cut))))
        self.values = curve.values()
        self.hint = "" if objective in self.values else nearest.hint()

    def _report(
        self, curve: Curve, record: MetricLine, curved: str
    ) -> tuple[int | None, Mapping[str, float | str], str]:
        point = curve.accept(record, self.curve)
        if point is not None and point.void_below:
            self.curve = {step: value for step, value in self.curve.items() if step >= point.void_below}
        if point is not None:
            self.curve[point.step] = point.value
        heard = without(record, curve.left_out)
        counts = without(heard, curve.reported_by_json) if record.text else heard
        why = _why_not_all(heard, counts, point, curved)
        if curve.left_out:
            why = chain([f"another rank speaks for {', '.join(sorted(curve.left_out))}"], why)
        return None if point is None else point.step, {**counts.values, **counts.invalid}, "; ".join(why)


def _why_not_all(record: MetricLine, counts: MetricLine, point: Point | None, curved: str) -> Iterator[str]:
    silent = sorted({*record.values, *record.invalid} - {*counts.values, *counts.invalid})
    if silent:
        yield f"text, and JSON speaks for {', '.join(silent)}"
    if told := sorted(counts.aside & counts.values.keys()):
        names = ", ".join(told)
        yield f"called the best, the target or the like: counts only where no line gives {names} otherwise"
    yield from (f"{name} is {text!r}, no finite number" for name, text in counts.invalid.items())
    if curved in counts.values and curved not in counts.aside and point is None:
        yield "its step has a value already: no point of the curve, but the latest value"
    if point is not None and point.void_below:
        yield "JSON from here on: the points that text gave are withdrawn"


def _other(record: Record | None, line: bytes, metrics: Sequence[str]) -> tuple[Mapping[str, float | str], str]:
    match record:
        case Announcement(outcome):
            return {"outcome": outcome}, ""
        case SeriesPart(name, _, values):
            return {"series": name}, f"{len(values)} values, stored with the trial"
        case Protocol(digest):
            return {"protocol": digest}, ""
    return {}, _why_nothing(_quoted(line), metrics)


def _why_nothing(text: str, metrics: Sequence[str]) -> str:
    mappings = list(objects(text))
    found = [name for mapping in mappings for name in mapping]
    named = [name for name in metrics if name in text]
    words = {
        word for name in named for word in re.findall(rf"[\w./-]{{0,60}}{re.escape(name)}[\w./-]{{0,60}}", text)
    }
    if not text.strip():
        return "empty"
    if reported := [mapping for mapping in mappings if not mapping.keys().isdisjoint(metrics)]:
        return _why_no_report(reported[-1], metrics)
    if found:
        return f"an object without {' or '.join(metrics)}; it has {', '.join(found)[:TEXT_LIMIT]}"
    if named and not words & set(named):
        return f"it has {', '.join(sorted(words))[:TEXT_LIMIT]}, which is not {' or '.join(named)}"
    if named and names_settings(text, text.index(named[0])):
        return f"{named[0]} stands in settings there, which are not a report"
    if named and "{" in text:
        return f"{named[0]} stands in it, but it is neither JSON nor a dict of literals, and no filter reads it"
    return f"{named[0]} stands in it, but no filter reads a value there" if named else "no metric in it"


def _why_no_report(mapping: Mapping[str, Any], metrics: Sequence[str]) -> str:
    if mapping.get("step") is not None and "step" not in metrics and step_of(mapping["step"]) is None:
        return f"its step is not a number from 0 to {STEP_LIMIT}"
    return "it is part of what began on an earlier line, a group of metrics, which is not guessed at"


def _quoted(line: bytes) -> str:
    return masked(shown(line).decode("utf-8", "replace"), begun=is_cut(line))


def _text(line: bytes) -> str:
    text = _quoted(line)
    clean = "".join(c if c.isprintable() else " " for c in text[: TEXT_LIMIT + 1])
    return clean if len(clean) <= TEXT_LIMIT else f"{clean[: TEXT_LIMIT - 1]}…"
