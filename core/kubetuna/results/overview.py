"""The page over several studies: which results there are, how far to believe them, and which search went best."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from kubetuna.errors import ResultsError
from kubetuna.report.overview import Entry, render_overview
from kubetuna.report.view import view_of
from kubetuna.results.folder import REPORT, read_results, results_under, write_report
from kubetuna.results.seen import Seen
from kubetuna.results.summary import next_commands

PAGE = "dashboard.html"


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


def write_overview_of(seen: Seen, folder: Path | None, path: Path | None = None) -> Path:
    """Write the page over one study, whose results lie in ``folder`` or are in a store only."""
    place = folder or seen.folder
    return _write([(seen, place)], [], path or place / PAGE, seen.spec.name)


def _write(found: Sequence[tuple[Seen, Path]], damaged: Sequence[str], page: Path, title: str) -> Path:
    from kubetuna.results.files import write_whole

    now = time.time()
    entries = [_entry(seen, place, page, now) for seen, place in found]
    return write_whole(page, render_overview(title, entries, damaged, now))


def _entry(seen: Seen, place: Path, page: Path, now: float) -> Entry:
    report = place / REPORT
    if not report.exists():
        write_report(seen, report)
    view = view_of(seen.spec, seen.status, seen.trials, now)
    target = str(place) if (place / "summary.json").exists() else seen.spec.name
    link = os.path.relpath(str(report), str(page.parent))
    return Entry(view, link, seen.final, tuple(next_commands(view, target)))
