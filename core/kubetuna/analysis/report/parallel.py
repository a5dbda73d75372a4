"""All parameters at once: a line per trial through its value of each, from worse to better trials.

Drawn as ordinary lines rather than plotly's own parallel coordinates, which need WebGL, do not print, and
have no place for a parameter that does not exist in a trial: here that is a lane of its own at the bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubetuna.analysis.report.axes import ParameterAxis, parameter_axis
from kubetuna.analysis.report.chart import Chart, Section
from kubetuna.analysis.report.kinds import BEST
from kubetuna.analysis.report.text import count, esc, label, number, scalar
from kubetuna.analysis.report.view import View, shown_of, thinned, value_of
from kubetuna.trials.records import TrialRecord

AXIS_LIMIT = 14
# Narrower, the names of parameters would run into each other; a phone scrolls instead.
AXIS_WIDTH = 80
LINE_LIMIT = 300
ABSENT = -0.15

# Each with the rank at which it starts, and the colour by its name in the style sheet.
BANDS = (("worst half", 0.5, "far"), ("next 40 %", 0.1, "midway"), ("best 10 %", 0.0, "near"))

LEAD = (
    "Each line is a completed trial and runs through its value of each parameter, most important first. "
    "Where the strong lines meet, good values of {metric} lie. Click a name in the legend to hide its lines."
)


def section(view: View, importance: Mapping[str, float]) -> Section:
    """The parallel coordinates for the first objective."""
    title = "All parameters at once"
    ranked = view.ranked()
    names = {name for t in ranked for name in t.params}
    present = [p for p in view.spec.parameters if p.name in names]
    if len(ranked) < 2 or len(present) < 2:
        words = "It takes two completed trials and two parameters to compare."
        return Section("parallel", title, "", missing=words)
    chosen = sorted(present, key=lambda p: -importance.get(p.name, 0.0))[:AXIS_LIMIT]
    axes = [parameter_axis(p) for p in chosen]
    shown = thinned(ranked, LINE_LIMIT)
    lead = LEAD.format(metric=esc(view.spec.objectives[0].metric)) + shown_of(len(shown), len(ranked), "trials")
    if len(present) > len(chosen):
        lead += f" {count(len(present) - len(chosen), 'less important parameter')} left out."
    return Section("parallel", title, lead, [_chart(view, axes, ranked, shown)])


def _chart(
    view: View, axes: Sequence[ParameterAxis], ranked: Sequence[TrialRecord], shown: Sequence[TrialRecord]
) -> Chart:
    rank = {t.number: i / len(ranked) for i, t in enumerate(ranked)}
    data = []
    upper = 1.01
    for name, lower, colour in BANDS:
        members = [t for t in shown if lower <= rank[t.number] < upper]
        data.append(_lines(view, axes, members, name, colour, 1.2 if lower else 2.0))
        upper = lower
    data.append(_lines(view, axes, ranked[:1], BEST.word, BEST.colour, 3.5))
    conditional = any(a.parameter.name not in t.params for a in axes for t in shown)
    alt = "Parallel coordinates: the parameters of the completed trials, better ones stronger."
    width = 60 + AXIS_WIDTH * len(axes)
    return Chart(alt, [d for d in data if d["x"]], _layout(axes, conditional), 440, width=width)


def _layout(axes: Sequence[ParameterAxis], conditional: bool) -> dict[str, Any]:
    low = ABSENT - 0.05 if conditional else -0.05
    ends = [
        {"x": i, "y": y, "text": text, "showarrow": False, "yshift": shift, "font": {"size": 10}}
        for i, axis in enumerate(axes)
        for y, text, shift in zip((0, 1), axis.ends(), (-9, 9), strict=True)
    ]
    return {
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": [label(a.parameter.name, 20) for a in axes],
            "range": [-0.3, len(axes) - 0.7],
            "zeroline": False,
            "automargin": True,
        },
        "yaxis": {
            "range": [low - 0.03, 1.08],
            "tickvals": [ABSENT] if conditional else [],
            "ticktext": ["does not<br>exist"] if conditional else [],
            "zeroline": False,
            "automargin": True,
        },
        "annotations": ends,
    }


def _lines(
    view: View,
    axes: Sequence[ParameterAxis],
    trials: Sequence[TrialRecord],
    name: str,
    colour: str,
    width: float,
) -> dict[str, Any]:
    x: list[int | None] = []
    y: list[float | None] = []
    hover: list[str] = []
    for trial in trials:
        result = number(value_of(trial))
        for place, axis in enumerate(axes):
            x.append(place)
            y.append(_height(axis, trial))
            hover.append(f"trial {trial.number}: {result}<br>{_value(axis, trial)}")
        x.append(None)
        y.append(None)
        hover.append("")
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x[:-1],
        "y": y[:-1],
        "hovertext": hover[:-1],
        "hoverinfo": "text",
        "line": {"color": colour, "width": width},
        "opacity": 0.75,
    }


def _height(axis: ParameterAxis, trial: TrialRecord) -> float:
    name = axis.parameter.name
    place = axis.unit(trial.params[name]) if name in trial.params else None
    return ABSENT if place is None else place


def _value(axis: ParameterAxis, trial: TrialRecord) -> str:
    name = axis.parameter.name
    if name not in trial.params:
        return f"{label(name)} does not exist"
    return f"{label(name)} {label(scalar(trial.params[name]))}"
