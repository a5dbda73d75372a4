"""The curve of a trial over all of its attempts, and the values that stand for it.

The first accepted value per step counts, over all attempts; lines without a step are numbered per attempt by those
that carry the objective; a step below the last one is kept and never pruned on. Once a report stands between two
steps (half an epoch), reports are counted in the order of their places, and one that is repeated is known. A
trial's value of a metric is the last that the latest attempt with any printed, unless its strategy is ``min`` or
``max``; where every rank of a distributed trainer prints it, one speaks. The state is small and JSON, so it is
stored with the values that it led to.

JSON beats text, metric by metric, over all of a trial's attempts, since they run the same program. From a metric's
first JSON report on, no text line speaks for it (a progress bar, ``patience=5 loss=99``), whatever filter found it,
and what text said of it before counts no more. A metric that JSON never names is read from text as ever. The
curve's points from text are withdrawn once JSON gives a curve: a point with a step, or a second one. A single JSON
report without a step is a summary, and the curve that text gave leads to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from kubetuna.metrics.lines import SERIES_POINTS, MetricLine, SeriesPart
from kubetuna.metrics.numbers import STEP_LIMIT
from kubetuna.metrics.ranks import Ranks

SERIES_NAMES = 4
# What begins as a number, or is a NaN, also as JSON (null) and tables (nothing, a dash) write one.
_BEGUN = re.compile(r"[\"']?(?:[+-]?\.?\d|[+-]?(?:nan|inf(?:inity)?)\b|none\b|null\b|-*[\"']?\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Point:
    """An accepted value of the objective. ``in_order``: above every step before it, so pruners may see it.

    ``void_below``: the points below this step came from text and are withdrawn by this one. ``text``: it was found
    in text; ``summary``: it is the first JSON report and has no step, so it may be the only one.
    """

    step: int
    value: float
    in_order: bool
    void_below: int = 0
    text: bool = False
    summary: bool = False


class Curve:
    """Mutable; one per trial. ``objective`` is the metric whose values make the curve."""

    def __init__(self, objective: str, strategies: Mapping[str, str], state: Mapping[str, Any]) -> None:
        self._objective = objective
        self._strategies = strategies
        self._ordinal: int = state.get("ordinal", 0)
        self._last: int = state.get("last", -1)
        # Metrics that JSON has reported, and how many of the first steps hold what text lines gave.
        self._json: set[str] = set(state.get("json", ()))
        self._text: int = state.get("text", 0)
        # The last place between two steps, once there was one: from then on places are counted, in their order.
        self._position: float | None = state.get("position")
        self._ranks = Ranks(state.get("ranks", {}))
        # What the last line said and another rank speaks for.
        self.left_out: AbstractSet[str] = frozenset()
        self.latest: dict[str, float] = dict(state.get("latest", {}))
        self.invalid: dict[str, str] = dict(state.get("invalid", {}))
        self.lowest: dict[str, float] = dict(state.get("lowest", {}))
        self.highest: dict[str, float] = dict(state.get("highest", {}))
        self.aside: dict[str, float] = dict(state.get("aside", {}))

    @property
    def reported_by_json(self) -> AbstractSet[str]:
        """The metrics for which no text speaks any more."""
        return self._json

    def begin_attempt(self) -> None:
        """Number lines without a step from 0 again; its ranks speak anew."""
        self._ordinal = 0
        self._ranks = Ranks({})

    def accept(self, line: MetricLine, known_steps: Mapping[int, float]) -> Point | None:
        """Take a line in. Returns the new point of the curve, if it makes one.

        ``known_steps`` are the steps that the study holds already.
        """
        again = self._objective in self._json
        heard = self._without_asides(self._of_one_rank(self._without_words(self._heard(line))))
        self._keep(heard)
        if self._objective not in heard.values and self._objective not in heard.invalid:
            return None
        step = self._step(heard)
        self._ordinal += 1
        if heard.text:
            self._text = max(self._text, self._ordinal)
        placed = heard.step is not None or heard.position is not None
        void = self._text if not heard.text and (again or placed) else 0
        taken = step in known_steps and step >= void
        if self._objective in heard.invalid or taken or not 0 <= step <= STEP_LIMIT:
            return None
        summary = not (heard.text or again or placed)
        in_order = self._follows(step, void, known_steps)
        return Point(step, heard.values[self._objective], in_order, void, heard.text, summary)

    def _step(self, line: MetricLine) -> int:
        """The step of a report; -1 for a place between two steps that lies no further than an earlier one."""
        place = line.step if line.position is None else line.position
        if place is None:
            return self._ordinal
        if self._position is None:
            if line.step is not None:
                return line.step
            self._position = -1.0 if self._text else float(self._last)
        if place <= self._position:
            return -1
        self._position = float(place)
        return self._last + 1

    def _follows(self, step: int, void: int, known_steps: Mapping[int, float]) -> bool:
        """Whether a new point's step is above all before it that stand."""
        if void:
            self._text = 0
            self._last = max((known for known in known_steps if known >= void), default=-1)
        in_order = step > self._last
        self._last = max(self._last, step)
        return in_order

    def _heard(self, line: MetricLine) -> MetricLine:
        """What counts of a line. JSON's first number for a metric ends what text says of it, and said before."""
        if line.text:
            return without(line, self._json) if self._json else line
        if not line.invalid and line.values.keys() <= self._json:
            return line
        for name in json_speaks_for(line) - self._json:
            self._json.add(name)
            for kept in (self.latest, self.invalid, self.lowest, self.highest, self.aside):
                kept.pop(name, None)
        return line

    def _without_words(self, line: MetricLine) -> MetricLine:
        """A line without the words that stand where a value might: they count only while nothing else is known.

        A warning quotes the program's ``loss = criterion(output)``, a configuration has ``"loss": "mse"``, a
        history is a list, a shell's trace has ``loss=$LOSS``. What is not finite, or begins as a number and cannot
        be read as one, is a value.
        """
        if not line.invalid:
            return line
        words = {name: text for name, text in line.invalid.items() if not _BEGUN.match(text)}
        for name, text in words.items():
            if name not in self.latest:
                self.invalid.setdefault(name, text)
        return without_invalid(line, words) if words else line

    def _without_asides(self, line: MetricLine) -> MetricLine:
        """A line without values that are called the best, the target or the like: they make no point of the curve,
        and count in the end only where no line gives the metric otherwise.
        """
        self.aside |= {name: value for name, value in line.values.items() if name in line.aside}
        return without(line, line.aside) if line.aside else line

    def _of_one_rank(self, line: MetricLine) -> MetricLine:
        place = line.position if line.step is None else line.step
        said = (*line.values, *line.invalid)
        self.left_out = {n for n in said if not self._ranks.count(n, place, line.rank, line.unique)}
        return without(line, self.left_out)

    def _keep(self, line: MetricLine) -> None:
        for name, value in line.values.items():
            self.invalid.pop(name, None)
            self.latest[name] = value
            self.lowest[name] = min(value, self.lowest.get(name, value))
            self.highest[name] = max(value, self.highest.get(name, value))
        for name, text in line.invalid.items():
            self.latest.pop(name, None)
            self.invalid[name] = text

    def values(self) -> dict[str, float]:
        """Each metric's value by its strategy, where it has one."""
        chosen = {"min": self.lowest, "max": self.highest}
        names = [*self.latest, *(n for n in self.lowest if n not in self.latest)]
        picked = {n: chosen.get(self._strategies.get(n, "latest"), self.latest).get(n) for n in names}
        aside = {n: value for n, value in self.aside.items() if n not in picked and n not in self.invalid}
        return aside | {name: value for name, value in picked.items() if value is not None}

    def to_state(self) -> dict[str, Any]:
        """What to store, as JSON."""
        state: dict[str, Any] = {"ordinal": self._ordinal, "last": self._last, "latest": dict(self.latest)}
        if self._json:
            state["json"] = sorted(self._json)
        if self._text:
            state["text"] = self._text
        if self._position is not None:
            state["position"] = self._position
        if self.aside:
            state["aside"] = dict(self.aside)
        if ranks := self._ranks.to_state():
            state["ranks"] = ranks
        if self.invalid:
            state["invalid"] = dict(self.invalid)
        if "min" in self._strategies.values():
            state["lowest"] = dict(self.lowest)
        if "max" in self._strategies.values():
            state["highest"] = dict(self.highest)
        return state


def json_speaks_for(line: MetricLine) -> AbstractSet[str]:
    """The metrics that a JSON report gives a number; NaN is one, a word (``"loss": "mse"`` in a config) is none."""
    if line.text:
        return frozenset()
    return line.values.keys() | {name for name, shown in line.invalid.items() if _not_finite(shown)}


def _not_finite(shown: str) -> bool:
    try:
        return not math.isfinite(float(shown))
    except ValueError:
        return False


def without_invalid(line: MetricLine, names: Container[str]) -> MetricLine:
    """A line without the unreadable values of some metrics."""
    return replace(line, invalid={name: text for name, text in line.invalid.items() if name not in names})


def without(line: MetricLine, names: AbstractSet[str]) -> MetricLine:
    """A line without what it says of some metrics."""
    if not (names & line.values.keys() or names & line.invalid.keys()):
        return line
    values = {name: value for name, value in line.values.items() if name not in names}
    return replace(line, values=values, invalid={n: t for n, t in line.invalid.items() if n not in names})


def joined(series: Mapping[str, Sequence[float]], part: SeriesPart) -> dict[str, list[float]]:
    """The series with a part put at its place; beyond the bounds on names and points nothing is taken."""
    result = {name: list(values) for name, values in series.items()}
    held = result.get(part.name, [])
    room = SERIES_POINTS - sum(len(v) for n, v in result.items() if n != part.name)
    if part.start > len(held) or (part.name not in result and len(result) >= SERIES_NAMES):
        return result
    result[part.name] = [*held[: part.start], *part.values][: max(0, room)]
    return result
