"""Where the time went: attempts' time by what became of them, and what pruning saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubetuna.analysis.report.chart import Chart, Section
from kubetuna.analysis.report.headline import hours
from kubetuna.analysis.report.kinds import GREY, KINDS, Kind
from kubetuna.analysis.report.timeline import Bar, bars_of
from kubetuna.analysis.report.view import View
from kubetuna.experiment.resources import resource_units
from kubetuna.experiment.units import SECONDS_PER_HOUR, duration

LEAD = (
    "Time of all attempts by what became of them: failed and stopped ones brought no result. In "
    "brackets: how many attempts. What pruning "
    "saved is an estimate: a pruned trial would have taken as long as the mean of the completed ones."
)


def section(view: View) -> Section:
    """Cost by outcome, with the savings beside it."""
    title = "Where the time went"
    bars = bars_of(view)
    if not any(b.end > b.start for b in bars):
        return Section("cost", title, "", missing="No time has been spent yet.")
    return Section("cost", title, LEAD, [_chart(view, bars)])


def _chart(view: View, bars: Sequence[Bar]) -> Chart:
    units = resource_units(view.spec)
    spent = [(k, units * sum(b.end - b.start for b in bars if b.kind is k), _count(k, bars)) for k in KINDS]
    spent = [(k, seconds, n) for k, seconds, n in spent if n]
    saved, name = hours(view.status.get("savedByPruning") or {})
    rows = [_row(k.word, seconds, k.colour, n) for k, seconds, n in spent]
    if saved > 0:
        rows.append(_row("saved by pruning", saved, GREY, None))
    rows.reverse()
    unit, unit_name = _unit(max(r["seconds"] for r in rows), name)
    layout = {
        # Room for the figures that stand beyond the bars' ends.
        "xaxis": {"title": {"text": unit_name}, "range": [0, 1.5 * max(r["seconds"] for r in rows) / unit]},
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": [r["label"] for r in rows],
            "automargin": True,
            "range": [-0.6, len(rows) - 0.4],
        },
        "showlegend": False,
        "margin": {"t": 8},
    }
    alt = "Time by outcome: " + ", ".join(f"{r['name']} {duration(r['seconds'])}" for r in reversed(rows))
    return Chart(alt, [_trace(rows, unit)], layout, 80 + 38 * max(2, len(rows)))


def _count(kind: Kind, bars: Sequence[Bar]) -> int:
    return sum(1 for b in bars if b.kind is kind)


def _row(name: str, seconds: float, colour: str, attempts: int | None) -> dict[str, Any]:
    tries = "" if attempts is None else f" ({attempts:,})"
    text = duration(seconds)
    return {"name": name, "seconds": seconds, "colour": colour, "text": text, "label": f"{name}{tries}"}


def _unit(longest: float, name: str) -> tuple[float, str]:
    if longest < 600:
        return 1.0, f"{name} seconds"
    return (60.0, f"{name}-minutes") if longest < 2 * SECONDS_PER_HOUR else (SECONDS_PER_HOUR, f"{name}-hours")


def _trace(rows: Sequence[dict[str, Any]], unit: float) -> dict[str, Any]:
    shapes = ["/" if r["name"] == "saved by pruning" else "" for r in rows]
    return {
        "type": "bar",
        "orientation": "h",
        "x": [r["seconds"] / unit for r in rows],
        "y": list(range(len(rows))),
        "text": [r["text"] for r in rows],
        "textposition": "outside",
        "hoverinfo": "skip",
        "marker": {"color": [r["colour"] for r in rows], "pattern": {"shape": shapes}},
    }
