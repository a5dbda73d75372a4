"""The page over several studies: which results there are, how far to believe them, and which search went best."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from kubetuna.analysis.comparison import compare
from kubetuna.analysis.extensions import checks_of
from kubetuna.analysis.folder import REPORT, read_results, results_under, write_report
from kubetuna.analysis.report.chart import Section, table
from kubetuna.analysis.report.overview import Entry, render_overview
from kubetuna.analysis.report.text import esc, number
from kubetuna.analysis.report.view import view_of
from kubetuna.analysis.summary import next_commands
from kubetuna.errors import ResultsError
from kubetuna.study.record import StudyRecord
from kubetuna.trials.progress import eligible

PAGE = "dashboard.html"
COMPARED = (
    "At equal numbers of trials, since a larger search finds a higher best by its size alone. Only searches over "
    "the same data compare."
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
    from kubetuna.files import write_whole

    now = time.time()
    entries = [_entry(seen, place, page, now) for seen, place in found]
    comparisons = [_compared(index, group) for index, group in enumerate(_groups([seen for seen, _ in found]))]
    return write_whole(page, render_overview(title, entries, damaged, now, comparisons))


def _groups(studies: Sequence[StudyRecord]) -> list[list[StudyRecord]]:
    """Studies that can be compared: those with one and the same objective, and a result, where there are two."""
    groups: dict[object, list[StudyRecord]] = {}
    for seen in studies:
        if len(seen.spec.objectives) == 1 and any(map(eligible, seen.trials)):
            objective = seen.spec.objectives[0]
            groups.setdefault((objective.metric, objective.direction), []).append(seen)
    return [group for group in groups.values() if len(group) > 1]


def _compared(index: int, group: Sequence[StudyRecord]) -> Section:
    found = compare(group)
    size = found.studies[0].of
    heads = ("study", "completed", "best", "median", f"likely best of {size}", "95 % interval", "chance to lead")
    rows = [
        [
            esc(one.study),
            str(one.completed),
            number(one.best),
            number(one.median),
            f"<b>{number(one.likely)}</b>",
            f"{number(one.low)} to {number(one.high)}",
            "leads" if one is found.studies[0] else f"{one.chance:.0%}",
        ]
        for one in found.studies
    ]
    words = f"<p><b>{esc(found.verdict)}</b></p>"
    title = f"Which search went best by {found.metric}"
    return Section(f"compared-{index}", title, COMPARED, [words, table(heads, rows, frozenset(range(1, 7)))])


def _entry(seen: StudyRecord, place: Path, page: Path, now: float) -> Entry:
    report = place / REPORT
    if not report.exists():
        write_report(seen, report)
    view = view_of(seen.spec, seen.status, seen.trials, now)
    target = str(place) if (place / "summary.json").exists() else seen.spec.name
    link = os.path.relpath(str(report), str(page.parent))
    return Entry(view, link, next_commands(view, target), checks_of(seen, view))
