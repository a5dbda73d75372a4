"""The dashboard: several studies on one page, each with its answer, how far to believe it, and its search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from kubetuna.analysis.report import history, parameter_influence
from kubetuna.analysis.report.chart import Chart, Drawing, Section, table
from kubetuna.analysis.report.checks import Check, check_list
from kubetuna.analysis.report.headline import Commands, answer, command_list, hours_text
from kubetuna.analysis.report.importance import importances
from kubetuna.analysis.report.overfitting import Luck, luck_of
from kubetuna.analysis.report.page import document
from kubetuna.analysis.report.text import count, esc, moment, number
from kubetuna.analysis.report.view import View, value_of


@dataclass(frozen=True, slots=True)
class Entry:
    """One study of the page: what its parts look at, where its own report lies, what to type next."""

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
    body = "".join(
        drawing.section(part)
        for index, (entry, luck) in enumerate(zip(entries, lucks, strict=True))
        for part in _study(index, entry, luck)
    )
    head = (
        f'<header><p class="kicker">Hyperparameter tuning dashboard</p><h1>{esc(title)}</h1>'
        f'<p class="answer">{count(len(entries), "study").replace("studys", "studies")}</p>'
        f'<p class="meta">Written {esc(moment(generated))}.</p></header>'
    )
    compared = "".join(drawing.section(section) for section in comparisons)
    glance = f"<h2>At a glance</h2>{_glance(entries, lucks)}{_damaged(damaged)}"
    inner = f'{head}<main><section class="card wide">{glance}</section>{compared}{body}</main>'
    return document(f"{title}: tuning dashboard", inner, drawing.charts)


def _glance(entries: Sequence[Entry], lucks: Sequence[Luck | None]) -> str:
    heads = ("study", "metric", "best", "trials", "spent", "luck?", "report")
    rows = [
        [
            f'<a href="#study-{index}">{esc(entry.view.spec.name)}</a>',
            esc(", ".join(o.metric for o in entry.view.spec.objectives)),
            f"<b>{esc(_best(entry.view))}</b>",
            f"{len(entry.view.trials):,}",
            esc(hours_text(entry.view.status.get("spent") or {})),
            _luck_word(luck),
            f'<a href="{esc(quote(entry.link))}">open</a>',
        ]
        for index, (entry, luck) in enumerate(zip(entries, lucks, strict=True))
    ]
    return table(heads, rows, frozenset((2, 3)))


def _best(view: View) -> str:
    if view.spec.multi_objective:
        return f"{len(view.winners)} on the front" if view.winners else "none"
    return number(value_of(view.best)) if view.best else "none"


def _luck_word(luck: Luck | None) -> str:
    if luck is None:
        return "not known"
    return '<span class="good">no</span>' if luck.skill else '<span class="care">may be</span>'


def _damaged(damaged: Sequence[str]) -> str:
    items = "".join(f"<li>{esc(text)}</li>" for text in damaged)
    return f'<p class="care"><b>Left out, since it could not be read:</b></p><ul>{items}</ul>' if items else ""


def _study(index: int, entry: Entry, luck: Luck | None) -> Iterator[Section]:
    """A study: its answer and checks, then how the search went and what mattered."""
    view = entry.view
    words = f'<p class="answer">{answer(view)}</p>{check_list(view, luck, entry.checks)}'
    charts = [chart for section in _sections(view) for chart in section.blocks if isinstance(chart, Chart)]
    link = f'<p><a href="{esc(quote(entry.link))}">The whole report</a></p>'
    commands = command_list(entry.commands)
    yield Section(f"study-{index}", view.spec.name, "", [words, *charts, link, commands])


def _sections(view: View) -> Iterator[Section]:
    yield history.section(view)
    yield parameter_influence.section(view, [importances(view, i) for i in range(len(view.spec.objectives))])
