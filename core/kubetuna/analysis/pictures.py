"""A study as one picture for a paper or a slide: the report's charts by matplotlib, without a browser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetuna.analysis.extensions import sections_of
from kubetuna.analysis.folder import write_report
from kubetuna.analysis.report import page
from kubetuna.analysis.report.chart import Chart
from kubetuna.analysis.report.overfitting import luck_of
from kubetuna.analysis.report.result import answer
from kubetuna.analysis.report.text import cut
from kubetuna.analysis.report.view import view_of
from kubetuna.errors import ResultsError, from_extra
from kubetuna.experiment.field_errors import unsupported
from kubetuna.study.record import StudyRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf", ".html")
# Plotly's symbols in matplotlib's; what ends in "open" is hollow.
MARKERS = {"circle": "o", "star": "*", "diamond": "D", "square": "s", "x": "X", "triangle-right": ">"}
MARKERS |= {"triangle-up": "^", "line-ns": "|", "line-ew": "_"}
DASHES = {"dash": "--", "longdash": "--", "dot": ":", "dashdot": "-."}
POINTS_PER_PIXEL = 0.6


def write_pictures(seen: StudyRecord, path: Path) -> Path:
    """Draw a study into a file; its ending says how.

    Raises:
        ResultsError: the ending is not known, or no trial has completed.
        BackendMissing: the extra ``analysis`` is not installed.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ResultsError(f"{path}: {unsupported(path.suffix, ENDINGS)}")
    view = view_of(seen.spec, seen.status, seen.trials, 0.0, seen.others.alike)
    if not view.scored:
        raise ResultsError(f"{view.spec.name}: {view.why_no_best}, so there is nothing to draw")
    if ending == ".html":
        return write_report(seen, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    # Without dates, so that the same study gives the same file.
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(ending, {})
    sections = page.sections_of(view, luck_of(view), sections_of(seen))
    panels = [(section.title, chart) for section in sections for chart in section.charts]
    # The page's own sentence, without its markup.
    title = unescape(re.sub("<[^>]*>", "", answer(view)))
    _figure(f"{cut(view.spec.name, 60)}\n{title}", panels).savefig(
        beside, format=ending[1:], dpi=120, metadata=metadata
    )
    return beside.replace(path)


def _figure(title: str, panels: Sequence[tuple[str, Chart]]) -> Figure:
    with from_extra("analysis", "a picture"):
        from matplotlib.figure import Figure
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4 * columns, 3.9 * rows), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for place, (heading, chart) in enumerate(panels, start=1):
        _draw(figure.add_subplot(rows, columns, place, title=heading), chart)
    return figure


def _draw(axis: Any, chart: Chart) -> None:
    """A chart of the page on matplotlib's axes: what plotly's traces say, as far as the page uses them."""
    colours = page.colours()
    for trace in chart.traces:
        if trace["type"] == "bar":
            axis.barh(trace["y"], trace["x"], color=[colours[c] for c in trace["marker"]["color"]])
        else:
            axis.plot(trace["x"], trace["y"], **_style(trace, colours))
        if "error_y" in trace:
            error = trace["error_y"]
            bars = [error["arrayminus"], error["array"]]
            axis.errorbar(trace["x"], trace["y"], bars, fmt="none", ecolor=colours[error["color"]])
    for name in ("x", "y"):
        _scale(axis, name, chart.layout.get(f"{name}axis", {}))
    axis.grid(alpha=0.3)
    if chart.layout.get("showlegend", True):
        # Below the axes, where it covers nothing.
        axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.16), ncols=3, frameon=False)
    if chart.note:
        axis.annotate(
            chart.note, (1, 0), (-4, 4), "axes fraction", textcoords="offset points", ha="right", fontsize=8
        )


def _style(trace: Mapping[str, Any], colours: Mapping[str, str]) -> dict[str, Any]:
    marker, line = trace.get("marker", {}), trace.get("line", {})
    symbol = str(marker.get("symbol", "")) if "markers" in trace["mode"] else ""
    return {
        "label": unescape(trace["name"]) if trace.get("showlegend", True) else None,
        "color": colours[(line or marker)["color"]],
        "linestyle": DASHES.get(line.get("dash"), "-") if line else "none",
        "linewidth": line.get("width", 1.5),
        "drawstyle": "steps-post" if line.get("shape") == "hv" else "default",
        "marker": MARKERS.get(symbol.removesuffix("-open"), ""),
        "markersize": marker.get("size", 6) * POINTS_PER_PIXEL,
        "fillstyle": "none" if symbol.endswith("-open") else "full",
        "alpha": trace.get("opacity", marker.get("opacity", 1)),
    }


def _scale(axis: Any, name: str, layout: Mapping[str, Any]) -> None:
    getattr(axis, f"set_{name}label")(unescape(layout.get("title", {}).get("text", "")))
    if layout.get("type") == "log":
        getattr(axis, f"set_{name}scale")("log")
    if "range" in layout:
        getattr(axis, f"set_{name}lim")(*layout["range"])
    if "ticktext" in layout:
        getattr(axis, f"set_{name}ticks")(layout["tickvals"], [unescape(text) for text in layout["ticktext"]])
