"""A chart as plotly wants it, a section of the page, and how both become HTML.

Figures are plain dicts: plotly's Python classes would only turn them into the same dicts, after a second of
imports. Colours of text and grid are no part of a figure; the page's script takes them from the style sheet,
so that one figure is right in light, in dark and on paper: ``ink`` and ``paper`` for text and ground, and
``far``, ``midway``, ``near`` for a scale whose near end stands out most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubetuna.analysis.report.text import cut, esc

HEIGHT = 380
SMALL_HEIGHT = 230
HEAD_LIMIT = 28


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; ``alt`` says in a sentence what it shows, to whoever cannot see it.

    Charts that are ``small`` share a row; one with a ``width`` scrolls sideways rather than get narrower.
    """

    alt: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height: int = HEIGHT
    small: bool = False
    width: int = 0


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


class Drawing:
    """Collects the charts of a page while its sections become HTML, and numbers their places."""

    def __init__(self) -> None:
        self.charts: list[dict[str, Any]] = []

    def section(self, section: Section) -> str:
        """A section as HTML, its charts kept for the script."""
        inner = "".join(self._blocks(section.blocks))
        lead = f'<p class="lead">{section.lead}</p>' if section.lead else ""
        return f'<section id="{esc(section.anchor)}"><h2>{esc(section.title)}</h2>{lead}{inner}</section>\n'

    def _blocks(self, blocks: Sequence[Chart | str]) -> list[str]:
        found: list[str] = []
        grid = False
        for block in blocks:
            small = isinstance(block, Chart) and block.small
            if small != grid:
                found.append('<div class="grid">' if small else "</div>")
                grid = small
            found.append(self._chart(block) if isinstance(block, Chart) else block)
        return [*found, "</div>"] if grid else found

    def _chart(self, chart: Chart) -> str:
        place = f"chart-{len(self.charts)}"
        layout = {"height": chart.height, **chart.layout}
        self.charts.append({"place": place, "data": list(chart.data), "layout": layout})
        size = f"min-height:{chart.height}px" + (f";min-width:{chart.width}px" if chart.width else "")
        inner = f'<div class="chart" id="{place}" role="img" aria-label="{esc(chart.alt)}" style="{size}"></div>'
        return f'<div class="scroll">{inner}</div>' if chart.width else inner


def nothing(text: str) -> str:
    """The words that stand where a chart would be empty."""
    return f'<p class="nothing">{esc(text)}</p>'


def without(sections: Iterable[Section]) -> str:
    """What has nothing to show yet, with the reasons, in one list at the page's end."""
    items = "".join(f'<li id="{esc(s.anchor)}"><b>{esc(s.title)}</b>: {esc(s.missing)}</li>' for s in sections)
    return f'<section class="without"><h2>Without a chart</h2><ul>{items}</ul></section>' if items else ""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[int] = frozenset()) -> str:
    """A table of ready HTML cells that scrolls sideways where it is too wide."""
    top = "".join(f"<th{_align(i, numeric)}>{esc(cut(h, HEAD_LIMIT))}</th>" for i, h in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{_align(i, numeric)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _align(column: int, numeric: frozenset[int]) -> str:
    return ' class="num"' if column in numeric else ""


def points(
    name: str,
    x: Sequence[Any],
    y: Sequence[Any],
    hover: Sequence[str],
    **marker: Any,
) -> dict[str, Any]:
    """A scatter of marks whose hover texts are ready labels."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "hovertext": list(hover),
        "hoverinfo": "text",
        "marker": marker,
    }
