"""The history: each trial's result in the order of the trials, and the best so far as a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubetuna.analysis.report.axes import value_axis
from kubetuna.analysis.report.chart import Chart, Section, line, points
from kubetuna.analysis.report.kinds import BEST, COMPLETE, INFEASIBLE, Kind
from kubetuna.analysis.report.text import label, number
from kubetuna.analysis.report.view import View, shown_of, thinned, value_of
from kubetuna.trials.records import TrialRecord

POINT_LIMIT = 2000

LEAD = (
    "Each mark is a trial; the line is the best value so far. If the line is still moving at the right end, more "
    "trials may improve the result."
)


def section(view: View) -> Section:
    """The history of each objective."""
    title = "Optimization history"
    if not view.scored:
        return Section("history", title, "", missing="No trial has completed yet.")
    charts = [_chart(view, index) for index in range(len(view.spec.objectives))]
    shown = shown_of(min(POINT_LIMIT, len(view.scored)), len(view.scored), "trials")
    notes = "".join(note for _, note in charts)
    return Section("history", title, LEAD + shown + notes, [c for c, _ in charts])


def _chart(view: View, index: int) -> tuple[Chart, str]:
    objective = view.spec.objectives[index]
    axis = value_axis(objective, [value_of(t, index) for t in view.scored])
    records = _records(view, index)
    shown = thinned(view.scored, POINT_LIMIT, records)
    data = [
        marks(view, COMPLETE, [t for t in shown if t.feasible], index),
        marks(view, INFEASIBLE, [t for t in shown if not t.feasible], index),
        _best_so_far(view, records, index),
        *([marks(view, BEST, view.winners, index)] if view.best else []),
    ]
    # Few trials have whole numbers on their axis, not halves.
    steps = {"dtick": 1} if view.trials[-1].number < 10 else {}
    layout = {"xaxis": {"title": {"text": "trial"}, **steps}, "yaxis": axis.layout}
    alt = f"Values of {objective.metric} ({objective.better_word}) by trial, with the best so far as a line."
    return Chart(alt, data, layout, note=axis.outside), axis.note


def marks(view: View, kind: Kind, trials: Sequence[TrialRecord], y: int, x: int | None = None) -> dict[str, Any]:
    """Trials by the objective ``y`` over the objective ``x``, else over their numbers."""
    shown = [(label(view.spec.objectives[i].metric), i) for i in (x, y) if i is not None]
    hover = [
        "<br>".join((f"trial {t.number}", *(f"{name} {number(value_of(t, i))}" for name, i in shown)))
        for t in trials
    ]
    places = [t.number if x is None else value_of(t, x) for t in trials]
    style = {"color": kind.colour, "symbol": kind.symbol, "size": 13 if kind is BEST else 7, "opacity": 0.8}
    return points(kind.word, places, [value_of(t, y) for t in trials], hover, **style)


def _records(view: View, index: int) -> list[TrialRecord]:
    """The trials that were the best when they came."""
    found: list[TrialRecord] = []
    for trial in view.eligible:
        than = value_of(found[-1], index) if found else None
        if view.spec.objectives[index].better(value_of(trial, index), than):
            found.append(trial)
    return found


def _best_so_far(view: View, records: Sequence[TrialRecord], index: int) -> dict[str, Any]:
    steps = [(t.number, value_of(t, index)) for t in records]
    steps += [(view.trials[-1].number, value) for _, value in steps[-1:]]
    return line("best so far", [n for n, _ in steps], [v for _, v in steps], BEST.colour, shape="hv", width=2.5)
