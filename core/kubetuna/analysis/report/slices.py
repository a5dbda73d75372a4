"""Each parameter against the result: one small chart per parameter, the most important first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubetuna.analysis.report.axes import ParameterAxis, parameter_axis, value_axis
from kubetuna.analysis.report.chart import SMALL_HEIGHT, Chart, Section, points
from kubetuna.analysis.report.kinds import BEST
from kubetuna.analysis.report.text import count, label, number, scalar
from kubetuna.analysis.report.view import View, shown_of, thinned, value_of
from kubetuna.experiment.model import Parameter
from kubetuna.trials.records import TrialRecord

CHART_LIMIT = 24
# All charts together: a browser draws ten thousand marks in about a second.
POINT_LIMIT = 10_000

LEAD = (
    "Each mark is a completed trial; stronger marks came later. Where marks crowd on the good side, the "
    "parameter matters; an even cloud means that it hardly does. A trial has no mark where the parameter "
    "does not exist for it."
)


def section(view: View, importance: Mapping[str, float]) -> Section:
    """A chart for each parameter and objective, ordered by importance where that is known."""
    title = "Each parameter against the result"
    if not view.scored:
        return Section("slices", title, "", missing="No trial has completed yet.")
    present = [p for p in view.spec.parameters if any(p.name in t.params for t in view.scored)]
    pairs = [
        (p, index)
        for index in range(len(view.spec.objectives))
        for p in sorted(present, key=lambda p: -importance.get(p.name, 0.0))
    ]
    drawn = pairs[:CHART_LIMIT]
    if not drawn:
        return Section("slices", title, "", missing="No completed trial has a parameter of this search space.")
    each = max(50, POINT_LIMIT // len(drawn))
    shown = thinned(view.scored, each, view.winners)
    lead = LEAD + shown_of(len(shown), len(view.scored), "trials") + _left_out(len(pairs) - len(drawn))
    return Section("slices", title, lead, [_chart(view, p, index, shown) for p, index in drawn])


def _left_out(number_: int) -> str:
    return f" {count(number_, 'chart')} of less important parameters left out." if number_ > 0 else ""


def _chart(view: View, parameter: Parameter, index: int, shown: Sequence[TrialRecord]) -> Chart:
    axis, objective = parameter_axis(parameter), view.spec.objectives[index]
    here = [t for t in shown if parameter.name in t.params]
    data = [_marks(axis, here, index), _winners(view, axis, index)]
    values = value_axis(objective, [value_of(t, index) for t in view.scored])
    layout = {
        "xaxis": axis.layout(),
        "yaxis": {**values.layout, "nticks": 5},
        "showlegend": False,
        "margin": {"l": 48, "r": 8, "t": 8, "b": 40},
    }
    alt = f"Values of {objective.metric} against the parameter {parameter.name}."
    return Chart(alt, [d for d in data if d["x"]], layout, SMALL_HEIGHT, small=True)


def _marks(axis: ParameterAxis, trials: Sequence[TrialRecord], index: int) -> dict[str, Any]:
    placed = _placed(axis, trials)
    marker: dict[str, Any] = {
        "color": [t.number for t, _ in placed],
        "colorscale": [[0, "far"], [0.5, "midway"], [1, "near"]],
        "size": 7,
        "opacity": 0.8,
        "line": {"width": 0.5, "color": "#808080"},
    }
    return points("trials", *_columns(axis, placed, index), **marker)


def _winners(view: View, axis: ParameterAxis, index: int) -> dict[str, Any]:
    placed = _placed(axis, view.winners)
    columns = _columns(axis, placed, index)
    return points("best", *columns, color=BEST.colour, symbol=BEST.symbol, size=13)


def _placed(axis: ParameterAxis, trials: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float]]:
    name = axis.parameter.name
    places = [(t, axis.position(t.params[name])) for t in trials if name in t.params]
    return [(t, place) for t, place in places if place is not None]


def _columns(
    axis: ParameterAxis, placed: Sequence[tuple[TrialRecord, float]], index: int
) -> tuple[list[float], list[float], list[str]]:
    name = axis.parameter.name
    hover = [
        f"trial {t.number}<br>{label(name)} {label(scalar(t.params[name]))}<br>{number(value_of(t, index))}"
        for t, _ in placed
    ]
    return [place for _, place in placed], [value_of(t, index) for t, _ in placed], hover
