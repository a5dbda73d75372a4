"""The chart of which parameters mattered; the figures come from ``importance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubetuna.analysis.report.chart import Chart, Section, nothing
from kubetuna.analysis.report.importance import TRIALS_NEEDED, Importance
from kubetuna.analysis.report.kinds import BLUE, GREY
from kubetuna.analysis.report.text import esc, label
from kubetuna.analysis.report.view import View, value_of

BAR_LIMIT = 20
BAR_HEIGHT = 26

LEAD = (
    "How strongly the better trials differ from all trials in each parameter (PED-ANOVA), as shares of the "
    "whole. The upright mark is what mere luck reaches; a grey bar does not exceed it, so do not read "
    "anything into it. A conditional parameter is judged where it exists."
)


def section(view: View, found: Sequence[Sequence[Importance]]) -> Section:
    """The importance of the parameters for each objective."""
    title = "Which parameters mattered"
    if not any(found):
        return Section("importance", title, "", missing=_why_not(view))
    charts: list[Chart | str] = []
    for objective, ranked in zip(view.spec.objectives, found, strict=True):
        if view.spec.multi_objective:
            charts.append(f"<h3>For {esc(objective.metric)}</h3>")
        charts.append(_chart(objective.metric, ranked, len(view.eligible)) if ranked else nothing(_why_not(view)))
    more = max(len(ranked) for ranked in found) - BAR_LIMIT
    rest = f" The {more} least important are left out." if more > 0 else ""
    return Section("importance", title, LEAD + rest, charts)


def _why_not(view: View) -> str:
    done = len(view.eligible)
    if done < TRIALS_NEEDED:
        return f"It takes at least {TRIALS_NEEDED} completed trials to tell; there are {done}."
    if len({value_of(t) for t in view.eligible}) == 1:
        return "All completed trials have the same value, so no parameter made a difference."
    return "The completed trials do not tell the parameters apart."


def _chart(metric: str, ranked: Sequence[Importance], total: int) -> Chart:
    shown = list(reversed(ranked[:BAR_LIMIT]))
    places = list(range(len(shown)))
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": places,
        "x": [i.share for i in shown],
        "hovertext": [_hover(i, total) for i in shown],
        "hoverinfo": "text",
        "text": [f"{i.share:.0%}" for i in shown],
        "textposition": "auto",
        "cliponaxis": False,
        "marker": {"color": [BLUE if i.real else GREY for i in shown]},
    }
    layout = {
        "xaxis": {"tickformat": ".0%", "rangemode": "tozero"},
        "yaxis": {"tickvals": places, "ticktext": [label(i.name) for i in shown], "automargin": True},
        "showlegend": False,
        "margin": {"t": 8},
    }
    alt = f"Importance of the parameters for {metric}: " + ", ".join(f"{i.name} {i.share:.0%}" for i in ranked[:5])
    return Chart(alt, [bars, _luck(shown, places)], layout, 70 + BAR_HEIGHT * max(3, len(shown)))


def _luck(shown: Sequence[Importance], places: Sequence[int]) -> Mapping[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [i.luck for i in shown],
        "y": list(places),
        "hoverinfo": "skip",
        "marker": {"symbol": "line-ns-open", "size": 16, "color": "ink", "line": {"width": 2}},
    }


def _hover(item: Importance, total: int) -> str:
    where = "" if item.trials >= total else f"<br>exists in {item.trials} of {total} completed trials"
    return f"{label(item.name, 60)}: {item.share:.1%}<br>luck alone reaches {item.luck:.1%}{where}"
