"""The trade-offs of several objectives: each pair of them, with the trials that none beats in all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from kubetuna.analysis.report.axes import value_axis
from kubetuna.analysis.report.chart import Chart, Section, line
from kubetuna.analysis.report.history import marks
from kubetuna.analysis.report.kinds import BEST, COMPLETE, INFEASIBLE
from kubetuna.analysis.report.text import label
from kubetuna.analysis.report.view import View, shown_of, thinned, value_of
from kubetuna.trials.records import TrialRecord

PAIR_LIMIT = 6
POINT_LIMIT = 2000

LEAD = (
    "Stars are the Pareto front: no other trial is at least as good in every objective and better in one. "
    "Which trade-off is best is your choice."
)
PAIRS = " With more than two objectives, a star may look beaten in one chart: it is better in another."


def section(view: View) -> Section:
    """A chart for each pair of objectives."""
    title = "Pareto front"
    if not view.scored:
        return Section("pareto", title, "", missing="No trial has completed yet.")
    pairs = list(itertools.combinations(range(len(view.spec.objectives)), 2))[:PAIR_LIMIT]
    shown = thinned(view.scored, POINT_LIMIT, view.winners)
    charts = [_chart(view, shown, pair) for pair in pairs]
    lead = LEAD + (PAIRS if len(view.spec.objectives) > 2 else "")
    lead += shown_of(len(shown), len(view.scored), "trials") + "".join(note for _, note in charts)
    return Section("pareto", title, lead, [chart for chart, _ in charts])


def _chart(view: View, shown: Sequence[TrialRecord], pair: tuple[int, int]) -> tuple[Chart, str]:
    first, second = pair
    x_axis, y_axis = (value_axis(view.spec.objectives[i], [value_of(t, i) for t in view.scored]) for i in pair)
    front = {t.number for t in view.winners}
    others = [t for t in shown if t.number not in front]
    data = [
        marks(view, COMPLETE, [t for t in others if t.feasible], y=second, x=first),
        marks(view, INFEASIBLE, [t for t in others if not t.feasible], y=second, x=first),
        *([_steps(view, pair)] if len(view.spec.objectives) == 2 else []),
        {**marks(view, BEST, view.winners, y=second, x=first), "name": "Pareto front"},
    ]
    layout = {"xaxis": x_axis.layout, "yaxis": y_axis.layout}
    objectives = [view.spec.objectives[i] for i in pair]
    for axis, objective in zip(layout, objectives, strict=True):
        layout[axis] = {**layout[axis], "title": {"text": f"{label(objective.metric)} ({objective.better_word})"}}
    alt = f"{' against '.join(o.metric for o in objectives)}; {len(view.winners)} trials on the Pareto front."
    outside = x_axis.outside or y_axis.outside
    return Chart(alt, data, layout, 440, outside), x_axis.note or y_axis.note


def _steps(view: View, pair: tuple[int, int]) -> dict[str, Any]:
    """The border of what is reached: what lies behind it is beaten by some star."""
    objectives = [view.spec.objectives[i] for i in pair]
    front = sorted(view.winners, key=lambda t: (objectives[0].sign * value_of(t, pair[0]), t.number))
    x, y = ([value_of(t, i) for t in front] for i in pair)
    return {**line("", x, y, BEST.colour, shape="hv", width=1.5, dash="dot"), "showlegend": False}
