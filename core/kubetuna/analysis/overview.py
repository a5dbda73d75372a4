"""The page over several studies: their results, how reliable these are, and which search did best."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from kubetuna.analysis.comparison import compare
from kubetuna.analysis.extensions import checks_of
from kubetuna.analysis.folder import REPORT, is_results, read_results, results_under, write_report
from kubetuna.analysis.report import history, importance
from kubetuna.analysis.report.chart import Drawing, Section, card, table
from kubetuna.analysis.report.checks import check_list
from kubetuna.analysis.report.cost import hours_text
from kubetuna.analysis.report.next_steps import command_list
from kubetuna.analysis.report.overfitting import Luck, luck_of
from kubetuna.analysis.report.page import document
from kubetuna.analysis.report.result import answer, header
from kubetuna.analysis.report.text import esc, number, span
from kubetuna.analysis.report.view import View, value_of, view_of
from kubetuna.analysis.summary import next_commands
from kubetuna.errors import ResultsError
from kubetuna.files import write_whole
from kubetuna.study.record import StudyRecord
from kubetuna.trials.progress import eligible

PAGE = "dashboard.html"
COMPARED = (
    "At equal numbers of trials, since a larger search reaches a better value by size alone. Only searches over "
    "the same data are comparable."
)


def write_overview(folder: Path, path: Path | None = None) -> Path:
    """Write the page over all results in a folder, by default into it. What is damaged is named on the page.

    Raises:
        ResultsError: the folder holds no results that can be read.
    """
    places = results_under(folder) if folder.is_dir() else []
    if not places:
        raise ResultsError(
            f"{folder}: holds no folder of results; 'kubetuna tune task1 --config quick' makes the first"
        )
    readable, damaged = [], []
    for place in places:
        try:
            readable.append((read_results(place), place))
        except ResultsError as error:
            damaged.append(str(error))
    if not readable:
        raise ResultsError("\n".join(damaged))
    return _write(readable, damaged, path or folder / PAGE, str(folder))


def write_overview_of(seen: StudyRecord, folder: Path | None, path: Path | None = None) -> Path:
    """Write the page over one study, whose results lie in ``folder`` or are in a store only."""
    place = folder or seen.folder
    return _write([(seen, place)], [], path or place / PAGE, seen.spec.name)


def _write(found: Sequence[tuple[StudyRecord, Path]], damaged: Sequence[str], page: Path, title: str) -> Path:
    now, drawing, rows, studies = time.time(), Drawing(), [], []
    for index, (seen, place) in enumerate(found):
        view = view_of(seen.spec, seen.status, seen.trials, now, seen.others.alike)
        luck, link = luck_of(view), _link(seen, place, page)
        rows.append(_row(view, luck, link, index))
        studies.append(_study(seen, view, luck, place, link, index))
    groups = enumerate(_groups([seen for seen, _ in found]))
    body = "".join(drawing.section(s) for s in (*(_comparison(index, group) for index, group in groups), *studies))
    heads = ("study", "metric", "best", "trials", "spent", "chance ruled out", "report")
    overview = card("Overview", table(heads, rows, (2, 3)) + _damaged(damaged), wide=True)
    studies_found = "1 study" if len(found) == 1 else f"{len(found):,} studies"
    inner = f"{header('Hyperparameter tuning dashboard', title, studies_found, now)}<main>{overview}{body}</main>"
    return write_whole(page, document(f"{title}: tuning dashboard", inner, drawing.charts))


def _link(seen: StudyRecord, place: Path, page: Path) -> str:
    """A link to the study's own report, which is written where there is none."""
    report = place / REPORT
    if not report.exists():
        write_report(seen, report)
    return esc(quote(os.path.relpath(str(report), str(page.parent))))


def _row(view: View, luck: Luck | None, link: str, index: int) -> list[str]:
    return [
        f'<a href="#study-{index}">{esc(view.spec.name)}</a>',
        esc(", ".join(o.metric for o in view.spec.objectives)),
        f"<b>{_best(view)}</b>",
        f"{len(view.trials):,}",
        esc(hours_text(view.status.get("spent") or {})),
        _ruled_out(luck),
        f'<a href="{link}">open</a>',
    ]


def _best(view: View) -> str:
    if view.best is not None:
        return number(value_of(view.best))
    return f"{len(view.winners)} on the front" if view.winners else "none"


def _ruled_out(luck: Luck | None) -> str:
    if luck is None:
        return "unknown"
    return '<span class="good">yes</span>' if luck.skill else '<span class="care">no</span>'


def _damaged(damaged: Sequence[str]) -> str:
    items = "".join(f"<li>{esc(text)}</li>" for text in damaged)
    return f'<p class="care"><b>Left out because they could not be read:</b></p><ul>{items}</ul>' if items else ""


def _study(seen: StudyRecord, view: View, luck: Luck | None, place: Path, link: str, index: int) -> Section:
    """A study: its result and checks, then how the search went and what mattered."""
    words = f'<p class="answer">{answer(view)}</p>{check_list(view, luck, checks_of(seen, view))}'
    charts = [chart for part in (history, importance) for chart in part.section(view).charts]
    commands = command_list(next_commands(view, str(place) if is_results(place) else seen.spec.name))
    full = f'<p><a href="{link}">Full report</a></p>'
    return Section(f"study-{index}", view.spec.name, "", [words, *charts, full, commands])


def _groups(studies: Sequence[StudyRecord]) -> list[list[StudyRecord]]:
    """Studies that can be compared: those with one and the same objective, and a result, where there are two."""
    groups: dict[object, list[StudyRecord]] = {}
    for seen in studies:
        if len(seen.spec.objectives) == 1 and any(map(eligible, seen.trials)):
            objective = seen.spec.objectives[0]
            groups.setdefault((objective.metric, objective.direction), []).append(seen)
    return [group for group in groups.values() if len(group) > 1]


def _comparison(index: int, group: Sequence[StudyRecord]) -> Section:
    found = compare(group)
    size = found.studies[0].of
    heads = ("study", "completed", "best", "median", f"expected best of {size}", "95 % interval", "chance to lead")
    rows = [
        [
            esc(one.study),
            str(one.completed),
            number(one.best),
            number(one.median),
            f"<b>{number(one.likely)}</b>",
            span(one.low, one.high),
            "leads" if one is found.studies[0] else f"{one.chance:.0%}",
        ]
        for one in found.studies
    ]
    blocks = [f"<p><b>{esc(found.verdict)}</b></p>", table(heads, rows, range(1, 7))]
    return Section(f"compared-{index}", f"Comparison by {found.metric}", COMPARED, blocks)
