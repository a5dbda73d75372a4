"""The intermediate values: a metric step by step, pruned and failed trials told apart.

Each kind of trial is one line with gaps, since a browser draws five long lines faster than a thousand short
ones; and both the number of curves and the points of each are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kubetuna.analysis.report.axes import value_axis
from kubetuna.analysis.report.chart import Chart, Section, line
from kubetuna.analysis.report.kinds import BEST, KINDS, Kind, trial_kind
from kubetuna.analysis.report.text import esc, number
from kubetuna.analysis.report.view import View, shown_of, thinned
from kubetuna.trials.records import TrialRecord

CURVE_LIMIT = 200
POINTS_PER_CURVE = 100
GAP = (None, None, "")

LEAD = (
    "Each line is a trial's {metric} as it was reported. Dashed lines were pruned. A pruner that works well ends "
    "the lines on the bad side early."
)


def section(view: View) -> Section:
    """The intermediate values of the objective, or of the metric that was pruned on."""
    title = "Intermediate values"
    curves = [t for t in view.trials if t.steps]
    if not curves:
        words = "No trial has reported an intermediate value, so there are no curves and nothing to prune by."
        return Section("curves", title, "", missing=words)
    shown = thinned(curves, CURVE_LIMIT, view.winners)
    axis = value_axis(view.spec.curve, [v for t in shown for _, v in t.steps])
    lead = LEAD.format(metric=esc(view.spec.curve.metric))
    lead += shown_of(len(shown), len(curves), "curves") + axis.note
    return Section("curves", title, lead, [_chart(view, shown, axis.layout)])


def _chart(view: View, shown: Sequence[TrialRecord], y_axis: dict[str, Any]) -> Chart:
    plain = [t for t in shown if t is not view.best]
    # What matters most is drawn last, on top.
    data = [_lines(kind, [t for t in plain if trial_kind(t) is kind]) for kind in reversed(KINDS)]
    data.append(_lines(BEST, [t for t in shown if t is view.best], 3.0))
    layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": y_axis}
    metric = view.spec.curve.metric
    return Chart(f"Curves of {metric} over the steps of each trial.", data, layout, 420)


def _lines(kind: Kind, trials: Sequence[TrialRecord], width: float = 1.3) -> dict[str, Any]:
    rows = [row for trial in trials for row in (*_points(trial, kind), GAP)][:-1]
    x, y, hover = zip(*rows, strict=True) if rows else ((), (), ())
    single = any(len(t.steps) == 1 for t in trials)
    return {
        **line(kind.word, x, y, kind.colour, hover, dash=kind.dash, width=width),
        "mode": "lines+markers" if single else "lines",
        "opacity": 1.0 if kind is BEST else 0.65,
        "marker": {"color": kind.colour, "symbol": kind.symbol, "size": 5},
    }


def _points(trial: TrialRecord, kind: Kind) -> Iterator[tuple[int, float, str]]:
    for step, value in thinned(trial.steps, POINTS_PER_CURVE):
        yield step, value, f"trial {trial.number} ({kind.word})<br>step {step}: {number(value)}"
