"""What happened inside the trials: the objective step by step, pruned and failed trials told apart.

Each kind of trial is one line with gaps, since a browser draws five long lines faster than a thousand short
ones; and both the number of curves and the points of each are bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kubetuna.analysis.report.axes import value_axis
from kubetuna.analysis.report.chart import Chart, Section
from kubetuna.analysis.report.kinds import BEST, COMPLETE, FAILED, INFEASIBLE, KINDS, OPEN, PRUNED, Kind, trial_kind
from kubetuna.analysis.report.text import esc, number
from kubetuna.analysis.report.view import View, shown_of, thinned
from kubetuna.trials.records import TrialRecord

CURVE_LIMIT = 200
POINTS_PER_CURVE = 100

LEAD = (
    "Each line is a trial's {metric} as it reported it. Dashed lines were pruned: judged hopeless and ended "
    "early. Good pruning ends lines that stay on the bad side."
)


def section(view: View) -> Section:
    """The intermediate values of the first objective."""
    title = "What happened inside each trial"
    curves = [t for t in view.trials if t.steps]
    if not curves:
        words = "No trial has reported a value along the way, so there are no curves and nothing to prune by."
        return Section("curves", title, "", missing=words)
    shown = thinned(curves, CURVE_LIMIT, view.winners)
    axis = value_axis(view.spec.objectives[0], [v for t in shown for _, v in t.steps])
    lead = LEAD.format(metric=esc(view.spec.objectives[0].metric))
    lead += shown_of(len(shown), len(curves), "curves") + axis.note
    return Section("curves", title, lead, [_chart(view, shown, axis.layout)])


def _chart(view: View, shown: Sequence[TrialRecord], y_axis: dict[str, Any]) -> Chart:
    plain = [t for t in shown if t is not view.best]
    data = [_lines(k, [t for t in plain if trial_kind(t) is k]) for k in _drawing_order()]
    if view.best is not None and view.best.steps:
        data.append(_lines(BEST, [view.best], 3.0))
    layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": y_axis}
    metric = view.spec.objectives[0].metric
    return Chart(f"Curves of {metric} over the steps of each trial.", [d for d in data if d["x"]], layout, 420)


def _drawing_order() -> Iterable[Kind]:
    """What matters most is drawn last, on top."""
    late = [PRUNED, OPEN, COMPLETE]
    early = [FAILED, INFEASIBLE]
    return [*early, *(k for k in KINDS if k not in late and k not in early), *late]


def _lines(kind: Kind, trials: Sequence[TrialRecord], width: float = 1.3) -> dict[str, Any]:
    x: list[int | None] = []
    y: list[float | None] = []
    hover: list[str] = []
    for trial in trials:
        for step, value in thinned(trial.steps, POINTS_PER_CURVE):
            x.append(step)
            y.append(value)
            hover.append(f"trial {trial.number} ({kind.word})<br>step {step}: {number(value)}")
        x.append(None)
        y.append(None)
        hover.append("")
    single = any(len(t.steps) == 1 for t in trials)
    return {
        "type": "scatter",
        "mode": "lines+markers" if single else "lines",
        "name": kind.word,
        "x": x[:-1],
        "y": y[:-1],
        "hovertext": hover[:-1],
        "hoverinfo": "text",
        "opacity": 1.0 if kind is BEST else 0.65,
        "line": {"color": kind.colour, "dash": kind.dash, "width": width},
        "marker": {"color": kind.colour, "symbol": kind.symbol, "size": 5},
    }
