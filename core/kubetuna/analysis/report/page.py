"""The report: one HTML file that needs nothing else, now or in ten years, with or without a network.

The head has the result, its cost, its reliability and the next steps, to be read in ten seconds; the charts
follow, as far as Optuna Dashboard does not show them from the same store. Plotly lies inside the file
once. A content security policy in the file forbids any request and any script but the page's own two, so that
not even a hole in the escaping would run a trial's text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from kubetuna.analysis.report import cost, curves, failures, history, importance, pareto, repeats, selection_bias
from kubetuna.analysis.report.chart import Drawing, Section, card, without
from kubetuna.analysis.report.checks import Check, check_list
from kubetuna.analysis.report.next_steps import Commands, next_card
from kubetuna.analysis.report.overfitting import Luck, luck_of
from kubetuna.analysis.report.result import head, ranking, result_card
from kubetuna.analysis.report.text import esc, safe_json
from kubetuna.analysis.report.view import View
from kubetuna.errors import from_extra


def render_report(
    view: View, added: Sequence[Section] = (), checks: Sequence[Check] = (), more: Commands = ()
) -> str:
    """The page for a study, whatever state it is in, with what a domain adds: sections, checks, next commands."""
    drawing, luck = Drawing(), luck_of(view)
    sections = sections_of(view, luck, added)
    drawn = [s for s in sections if not s.missing]
    body = "".join(drawing.section(s) for s in drawn) + without(s for s in sections if s.missing)
    reliability = card("Reliability checks", check_list(view, luck, checks))
    cards = result_card(view) + cost.cost_card(view) + reliability + next_card(view, more)
    return document(
        f"{view.spec.name}: tuning report",
        f'{head(view)}<main><div class="cards">{cards}</div>{_contents(drawn)}{body}</main>',
        drawing.charts,
    )


def sections_of(view: View, luck: Luck | None, added: Sequence[Section]) -> list[Section]:
    """The sections in the order of a reader's questions."""
    sections = [
        pareto.section(view) if view.spec.multi_objective else None,
        history.section(view),
        *added,
        repeats.section(view),
        selection_bias.section(view, luck),
        ranking(view),
        importance.section(view),
        curves.section(view),
        cost.section(view),
        failures.section(view),
    ]
    return [section for section in sections if section is not None]


def _contents(sections: Iterable[Section]) -> str:
    links = "".join(f'<a href="#{esc(s.anchor)}">{esc(s.title)}</a>' for s in sections)
    return f'<nav aria-label="Contents">{links}</nav>'


def document(title: str, body: str, charts: Sequence[Mapping[str, Any]]) -> str:
    """A whole page around ready HTML: style, scripts, and the policy that lets nothing else run."""
    # The import takes a while, and plotly is optional.
    with from_extra("analysis", "the report"):
        from plotly.offline import get_plotlyjs

    scripts = (get_plotlyjs().replace("\r", ""), _asset("page.js"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{esc(title)}</title>\n<style>{_asset('page.css')}</style>\n</head>\n<body>\n{body}\n"
        "<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>\n"
        f'<script type="application/json" id="charts">{safe_json(charts)}</script>\n'
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _policy(scripts: Iterable[str]) -> str:
    """Nothing from anywhere; only these scripts, by their hashes; plotly writes styles of its own."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


def colours() -> dict[str, str]:
    """What the names of colours in charts mean by day, from the style sheet."""
    found = re.findall(r"--(\w+): (#\w{6})", _asset("page.css"))
    return dict(reversed(found))


def _asset(name: str) -> str:
    return files("kubetuna.analysis.report").joinpath("assets", name).read_text(encoding="utf-8")
