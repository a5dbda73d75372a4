"""The page over several studies, each with its result, how reliable it is, and its search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from kubetuna.analysis.report import history, importance
from kubetuna.analysis.report.chart import Drawing, Section, card, table
from kubetuna.analysis.report.checks import Check, check_list
from kubetuna.analysis.report.cost import hours_text
from kubetuna.analysis.report.next_steps import Commands, command_list
from kubetuna.analysis.report.overfitting import Luck, luck_of
from kubetuna.analysis.report.page import document
from kubetuna.analysis.report.result import answer
from kubetuna.analysis.report.text import esc, moment, number
from kubetuna.analysis.report.view import View, value_of


@dataclass(frozen=True, slots=True)
class Entry:
    """One study of the page: what its parts look at, where its own report lies, which commands come next."""

    view: View
    link: str
    commands: Commands
    checks: Sequence[Check] = ()


def render_overview(
    title: str, entries: Sequence[Entry], damaged: Sequence[str], generated: float, comparisons: Sequence[Section]
) -> str:
    """The page. ``damaged`` says of each folder that could not be read what is wrong with it."""
    drawing = Drawing()
    lucks = [luck_of(entry.view) for entry in entries]
    studies = [_study(i, entry, luck) for i, (entry, luck) in enumerate(zip(entries, lucks, strict=True))]
    head = (
        f'<header><p class="kicker">Hyperparameter tuning dashboard</p><h1>{esc(title)}</h1>'
        f'<p class="answer">{len(entries):,} {"study" if len(entries) == 1 else "studies"}</p>'
        f'<p class="meta">Written {esc(moment(generated))}.</p></header>'
    )
    body = "".join(drawing.section(section) for section in (*comparisons, *studies))
    overview = card("Overview", _overview(entries, lucks) + _damaged(damaged), wide=True)
    return document(f"{title}: tuning dashboard", f"{head}<main>{overview}{body}</main>", drawing.charts)


def _overview(entries: Sequence[Entry], lucks: Sequence[Luck | None]) -> str:
    heads = ("study", "metric", "best", "trials", "spent", "chance ruled out", "report")
    rows = [
        [
            f'<a href="#study-{index}">{esc(entry.view.spec.name)}</a>',
            esc(", ".join(o.metric for o in entry.view.spec.objectives)),
            f"<b>{esc(_best(entry.view))}</b>",
            f"{len(entry.view.trials):,}",
            esc(hours_text(entry.view.status.get("spent") or {})),
            _ruled_out(luck),
            f'<a href="{esc(quote(entry.link))}">open</a>',
        ]
        for index, (entry, luck) in enumerate(zip(entries, lucks, strict=True))
    ]
    return table(heads, rows, (2, 3))


def _best(view: View) -> str:
    if view.spec.multi_objective:
        return f"{len(view.winners)} on the front" if view.winners else "none"
    return number(value_of(view.best)) if view.best else "none"


def _ruled_out(luck: Luck | None) -> str:
    if luck is None:
        return "unknown"
    return '<span class="good">yes</span>' if luck.skill else '<span class="care">no</span>'


def _damaged(damaged: Sequence[str]) -> str:
    items = "".join(f"<li>{esc(text)}</li>" for text in damaged)
    return f'<p class="care"><b>Left out because they could not be read:</b></p><ul>{items}</ul>' if items else ""


def _study(index: int, entry: Entry, luck: Luck | None) -> Section:
    """A study: its result and checks, then how the search went and what mattered."""
    view = entry.view
    words = f'<p class="answer">{answer(view)}</p>{check_list(view, luck, entry.checks)}'
    charts = [chart for part in (history, importance) for chart in part.section(view).charts]
    link = f'<p><a href="{esc(quote(entry.link))}">Full report</a></p>'
    return Section(f"study-{index}", view.spec.name, "", [words, *charts, link, command_list(entry.commands)])
