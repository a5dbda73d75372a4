"""The history: each trial's result in the order of the trials, and the best so far as a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubetuna.analysis.report.axes import value_axis
from kubetuna.analysis.report.chart import Chart, Section, points
from kubetuna.analysis.report.kinds import BEST, COMPLETE, GREY, INFEASIBLE, Kind
from kubetuna.analysis.report.text import label, number
from kubetuna.analysis.report.view import View, better_word, shown_of, thinned, value_of
from kubetuna.trials.records import TrialRecord

POINT_LIMIT = 2000

LEAD = (
    "Each mark is a trial; the line is the best value so far. A line that still climbs or falls at the "
    "right end means that more trials may find more."
)


def section(view: View) -> Section:
    """The history of each objective."""
    if not view.scored:
        return Section("history", "How the result came about", "", missing="No trial has completed yet.")
    charts = [_chart(view, index) for index in range(len(view.spec.objectives))]
    shown = shown_of(min(POINT_LIMIT, len(view.scored)), len(view.scored), "trials")
    notes = "".join(note for _, note in charts)
    return Section("history", "How the result came about", LEAD + shown + notes, [c for c, _ in charts])


def _chart(view: View, index: int) -> tuple[Chart, str]:
    objective = view.spec.objectives[index]
    axis = value_axis(objective, [value_of(t, index) for t in view.scored])
    records = _records(view, index)
    shown = thinned(view.scored, POINT_LIMIT, records)
    data = [
        _marks(view, [t for t in shown if t.feasible], index, COMPLETE),
        _marks(view, [t for t in shown if not t.feasible], index, INFEASIBLE),
        _line(view, records, index),
        *([_marks(view, view.winners, index, BEST, 13)] if view.best else []),
    ]
    layout = {"xaxis": {"title": {"text": "trial"}, **_whole(view)}, "yaxis": axis.layout}
    alt = f"Values of {objective.metric} ({better_word(objective)}) by trial, with the best so far as a line."
    return Chart(alt, [d for d in data if d["x"]], layout), axis.note


def _whole(view: View) -> dict[str, Any]:
    last = max(t.number for t in view.trials)
    return {"range": [-0.5 - last * 0.02, last + 0.5 + last * 0.02], **({"dtick": 1} if last < 10 else {})}


def _marks(view: View, trials: Sequence[TrialRecord], index: int, kind: Kind, size: int = 7) -> dict[str, Any]:
    metric = view.spec.objectives[index].metric
    hover = [f"trial {t.number}<br>{label(metric)} {number(value_of(t, index))}" for t in trials]
    x, y = [t.number for t in trials], [value_of(t, index) for t in trials]
    return points(kind.word, x, y, hover, color=kind.colour, symbol=kind.symbol, size=size, opacity=0.8)


def _records(view: View, index: int) -> list[TrialRecord]:
    """The trials that were the best when they came."""
    found: list[TrialRecord] = []
    for trial in view.eligible:
        than = value_of(found[-1], index) if found else None
        if view.spec.objectives[index].better(value_of(trial, index), than):
            found.append(trial)
    return found


def _line(view: View, records: Sequence[TrialRecord], index: int) -> dict[str, Any]:
    x, y = [t.number for t in records], [value_of(t, index) for t in records]
    if x:
        x, y = [*x, max(t.number for t in view.trials)], [*y, y[-1]]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": x,
        "y": y,
        "line": {"shape": "hv", "color": BEST.colour if records else GREY, "width": 2.5},
        "hoverinfo": "skip",
    }
