"""A chart as plotly wants it, a section of the page, and how both become HTML.

Figures are plain dicts: plotly's Python classes would only turn them into the same dicts, after a second of
imports. Colours of text and grid are no part of a figure; the page's script takes them from the style sheet,
so that one figure is right in light, in dark and on paper (``ink`` and ``paper`` are text and ground).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubetuna.analysis.report.text import cut, esc

HEIGHT = 380
HEAD_LIMIT = 28


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; ``alt`` says in a sentence what it shows, to anyone who cannot see it.

    ``note`` is what a picture of it has to say, where nothing can be clicked.
    """

    alt: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int = HEIGHT
    note: str = ""

    @property
    def traces(self) -> list[Mapping[str, Any]]:
        """What has points; the rest would be a name in the legend without a mark on the chart."""
        return [trace for trace in self.data if trace["x"]]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence on how to read what follows, then charts and ready HTML in their order.

    ``lead`` and the strings among ``blocks`` are HTML already. Where there is nothing to show, ``missing``
    says why, and is all there is: an empty picture says nothing.
    """

    anchor: str
    title: str
    lead: str
    blocks: Sequence[Chart | str] = field(default=())
    missing: str = ""

    @property
    def charts(self) -> list[Chart]:
        """The charts alone."""
        return [block for block in self.blocks if isinstance(block, Chart)]


class Drawing:
    """Collects the charts of a page while its sections become HTML, and numbers their places."""

    def __init__(self) -> None:
        self.charts: list[dict[str, Any]] = []

    def section(self, section: Section) -> str:
        """A section as HTML, its charts kept for the script."""
        inner = "".join(self._chart(b) if isinstance(b, Chart) else b for b in section.blocks)
        lead = f'<p class="lead">{section.lead}</p>' if section.lead else ""
        return f'<section id="{esc(section.anchor)}"><h2>{esc(section.title)}</h2>{lead}{inner}</section>\n'

    def _chart(self, chart: Chart) -> str:
        place = f"chart-{len(self.charts)}"
        layout = {"height": chart.height, **chart.layout}
        self.charts.append({"place": place, "data": chart.traces, "layout": layout})
        described = f'role="img" aria-label="{esc(chart.alt)}" style="min-height:{chart.height}px"'
        return f'<div class="chart" id="{place}" {described}></div>'


def without(sections: Iterable[Section]) -> str:
    """What has nothing to show yet, with the reasons, in one list at the page's end."""
    items = "".join(f'<li id="{esc(s.anchor)}"><b>{esc(s.title)}</b>: {esc(s.missing)}</li>' for s in sections)
    return f'<section class="without"><h2>Not shown</h2><ul>{items}</ul></section>' if items else ""


def card(title: str, inner: str, *, wide: bool = False) -> str:
    """A part of the page's head."""
    return f'<section class="card{" wide" if wide else ""}"><h2>{title}</h2>{inner}</section>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    """A table of ready HTML cells that scrolls sideways where it is too wide."""
    align = [' class="num"' if i in set(numeric) else "" for i in range(len(heads))]
    top = "".join(f"<th{a}>{esc(cut(h, HEAD_LIMIT))}</th>" for a, h in zip(align, heads, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{a}>{cell}</td>' for a, cell in zip(align, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def points(name: str, x: Sequence[Any], y: Sequence[Any], hover: Sequence[str], **marker: Any) -> dict[str, Any]:
    """A scatter of marks whose hover texts are ready labels."""
    return {**_scatter(name, x, y, hover), "mode": "markers", "marker": marker}


def line(
    name: str, x: Sequence[Any], y: Sequence[Any], color: str, hover: Sequence[str] = (), **style: Any
) -> dict[str, Any]:
    """A line; ``style`` is plotly's."""
    return {**_scatter(name, x, y, hover), "mode": "lines", "line": {"color": color, **style}}


def _scatter(name: str, x: Sequence[Any], y: Sequence[Any], hover: Sequence[str]) -> dict[str, Any]:
    found = {"type": "scatter", "name": name, "x": list(x), "y": list(y)}
    return {**found, "hovertext": list(hover), "hoverinfo": "text"} if hover else {**found, "hoverinfo": "skip"}
