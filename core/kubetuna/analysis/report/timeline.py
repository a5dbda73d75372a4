"""When each attempt ran: bars in as few lanes as there were attempts at once.

Lanes rather than a row per trial: a thousand trials on eight slots are eight rows, and a gap in a lane is a
slot that stood idle.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.analysis.report.chart import Chart, Section
from kubetuna.analysis.report.kinds import KINDS, Kind, attempt_kind, trial_kind
from kubetuna.analysis.report.text import duration, label
from kubetuna.analysis.report.view import View
from kubetuna.trials.records import TrialRecord

BAR_LIMIT = 2000
LANE_HEIGHT = 26
LANES_SHOWN = 24
# Beyond that, numbers inside the bars would be specks.
NUMBERED_BARS = 150

LEAD = (
    "Each bar is one attempt at a trial, with the trial's number where there is room; a row is a slot. "
    "Gaps are time in which a slot stood idle."
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt: when it ran, in which lane, and what became of it."""

    trial: int
    attempt: int
    start: float
    end: float
    kind: Kind
    outcome: str
    lane: int = 0


def section(view: View) -> Section:
    """The timeline of all attempts."""
    title = "When each attempt ran"
    bars = sorted(bars_of(view), key=lambda b: (b.start, b.trial, b.attempt))
    if not bars:
        return Section("timeline", title, "", missing="No attempt has started yet.")
    recent = bars[-BAR_LIMIT:]
    lead = LEAD if len(recent) == len(bars) else f"{LEAD} The latest {len(recent):,} of {len(bars):,} attempts."
    return Section("timeline", title, lead, [_chart(in_lanes(recent))])


def bars_of(view: View) -> list[Bar]:
    """The attempts that started; a trial without attempts, from another writer, is one bar."""
    return [bar for trial in view.trials for bar in _bars(trial, view.generated)]


def _bars(trial: TrialRecord, now: float) -> Iterator[Bar]:
    last = trial.ended if trial.ended is not None else now
    timed = [(a, a.started) for a in trial.attempts if a.started is not None]
    for attempt, start in timed:
        end = max(start, last if attempt.ended is None else attempt.ended)
        kind = attempt_kind(trial, attempt)
        yield Bar(trial.number, attempt.number, start, end, kind, attempt.outcome or "")
    if not timed and trial.started is not None:
        end = max(trial.started, last)
        yield Bar(trial.number, 0, trial.started, end, trial_kind(trial), trial.outcome or "")


def in_lanes(bars: Sequence[Bar]) -> list[Bar]:
    """The same bars, each in the lowest lane that is free when it starts."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    placed: list[Bar] = []
    for bar in bars:
        while busy and busy[0][0] <= bar.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (bar.end, lane))
        placed.append(Bar(bar.trial, bar.attempt, bar.start, bar.end, bar.kind, bar.outcome, lane))
    return placed


def _chart(bars: Sequence[Bar]) -> Chart:
    origin = min(b.start for b in bars)
    unit, name = _unit(max(b.end for b in bars) - origin)
    lanes = max(b.lane for b in bars) + 1
    data = [_trace(kind, [b for b in bars if b.kind is kind], origin, unit, len(bars)) for kind in KINDS]
    layout = {
        "barmode": "overlay",
        "uniformtext": {"mode": "hide", "minsize": 10},
        "bargap": 0.15,
        "xaxis": {"title": {"text": f"{name} since the start"}, "rangemode": "tozero"},
        "yaxis": {
            "title": {"text": "slot"},
            "range": [lanes - 0.4, -0.6],
            "zeroline": False,
            **({"dtick": 1, "tick0": 0} if lanes <= LANES_SHOWN else {}),
        },
    }
    alt = f"Timeline of {len(bars)} attempts in {lanes} lanes."
    return Chart(alt, [d for d in data if d["x"]], layout, 110 + LANE_HEIGHT * min(max(3, lanes), LANES_SHOWN))


def _unit(span: float) -> tuple[float, str]:
    if span < 600:
        return 1.0, "seconds"
    return (60.0, "minutes") if span < 3 * 3600 else (3600.0, "hours")


def _trace(kind: Kind, bars: Sequence[Bar], origin: float, unit: float, total: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": kind.word,
        "y": [b.lane for b in bars],
        "base": [(b.start - origin) / unit for b in bars],
        "x": [(b.end - b.start) / unit for b in bars],
        "width": 0.8,
        "hovertext": [_hover(b) for b in bars],
        "hoverinfo": "text",
        "text": [str(b.trial) for b in bars] if total <= NUMBERED_BARS else None,
        "textposition": "inside",
        "insidetextanchor": "middle",
        "constraintext": "inside",
        "textangle": 0,
        "marker": {"color": kind.colour, "line": {"width": 1, "color": "paper"}},
    }


def _hover(bar: Bar) -> str:
    outcome = label(bar.outcome or bar.kind.word)
    return f"trial {bar.trial}, attempt {bar.attempt}<br>{outcome}<br>{duration(bar.end - bar.start)}"
