"""The live table of a run, on stderr: it redraws in a terminal, and prints a line per ended trial elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from optuna.logging import WARNING, get_verbosity, set_verbosity
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from kubetuna.experiment.model import Experiment
from kubetuna.experiment.steps import most_trials
from kubetuna.experiment.units import duration
from kubetuna.local import runner
from kubetuna.terminal.differences import differences
from kubetuna.terminal.tables import best_line, clean, number, status_rows
from kubetuna.trials.snapshot import Snapshot, TrialView

SHOWN_TRIALS = 10


def run_shown(
    spec: Experiment, url: str, console: Console, interrupt: threading.Event, study: str | None = None
) -> runner.RunResult:
    """Run an experiment while its progress is shown on a console."""
    with LiveView(console) as view, _optuna_warns_only():
        watchers = runner.Watchers(view.started, view.changed, view.unavailable, view.noted)
        return runner.run(spec, url, watchers, interrupt, study)


@contextmanager
def _optuna_warns_only() -> Iterator[None]:
    """Optuna would tell of each study that it makes in memory, which is no study of the user's."""
    before = get_verbosity()
    set_verbosity(max(before, WARNING))
    try:
        yield
    finally:
        set_verbosity(before)


def progress_console(shown: bool) -> Console:
    """Where a Python program shows progress: stderr, or nowhere; its own output is left alone."""
    return Console(stderr=True, quiet=not shown, highlight=False, force_terminal=None if shown else False)


class LiveView:
    """A context that shows a run; its methods are the watchers of ``kubetuna.local.runner.run``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._spec: Experiment | None = None
        self._ended = self._retested = 0
        self._began = time.monotonic()
        self._ended_before = -1
        self._warned = ""

    def __enter__(self) -> LiveView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, spec: Experiment, folder: Path) -> None:
        """Begin to show."""
        self._spec = spec
        self._console.print(f"Experiment {spec.name}; logs in {folder}", markup=False)
        for difference in differences(spec):
            self.noted(difference)
        if self._console.is_terminal:
            self._live = Live(Text(""), console=self._console, refresh_per_second=4)
            self._live.start()

    def noted(self, note: str) -> None:
        """Say something that a person should know and that is no error."""
        self._console.print(f"note: {note}", markup=False)

    def unavailable(self, message: str) -> None:
        """Say once that the database cannot be reached; trials go on meanwhile."""
        if message != self._warned:
            self._warned = message
            self._console.print(f"waiting for the database; trials go on: {message}", markup=False)

    def changed(self, status: dict[str, Any], snapshot: Snapshot) -> None:
        """Show a new state."""
        assert self._spec is not None
        if self._ended_before < 0:
            self._ended_before = self._ended = snapshot.tally.ended
        if self._live is not None:
            self._live.update(self._picture(status, snapshot))
        elif snapshot.tally.ended > self._ended:
            left = self._time_left(snapshot)
            ended = "1 trial" if snapshot.tally.ended == 1 else f"{snapshot.tally.ended} trials"
            self._console.print(f"{ended} ended; best: {best_line(self._spec, status)}{left}", markup=False)
        elif snapshot.tally.retested > self._retested and self._spec.retest is not None:
            ended = f"{snapshot.tally.retested} of {self._spec.retest.top} re-tests ended"
            self._console.print(f"{ended}; best: {best_line(self._spec, status)}", markup=False)
        self._ended, self._retested = snapshot.tally.ended, snapshot.tally.retested

    def _time_left(self, snapshot: Snapshot) -> str:
        done = snapshot.tally.ended - self._ended_before
        limit = most_trials(snapshot.spec)
        if done <= 0 or limit is None:
            return ""
        each = (time.monotonic() - self._began) / done
        return f"; about {duration(each * max(0, limit - snapshot.tally.ended))} left"

    def _picture(self, status: dict[str, Any], snapshot: Snapshot) -> Group:
        assert self._spec is not None
        table = Table(show_header=False, box=None)
        table.add_column(style="bold")
        table.add_column()
        for name, text in status_rows(self._spec, status):
            table.add_row(name, clean(text))
        return Group(self._bar(snapshot), table, self._running(snapshot))

    def _bar(self, snapshot: Snapshot) -> Progress:
        progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total}")
        )
        total = most_trials(snapshot.spec)
        left = self._time_left(snapshot).removeprefix("; ")
        progress.add_task(left or "trials", total=total, completed=snapshot.tally.ended)
        return progress

    def _running(self, snapshot: Snapshot) -> Table:
        table = Table(box=None)
        for name in ("trial", "attempt", "metrics"):
            table.add_column(name)
        for trial in snapshot.trials[:SHOWN_TRIALS]:
            table.add_row(str(trial.number), _attempt(trial), clean(_metrics(trial)))
        return table


def _attempt(trial: TrialView) -> str:
    latest = trial.latest
    if latest is None or latest.facts is None:
        return "waiting"
    return f"{latest.number}: {latest.facts.waiting or latest.facts.phase}"


def _metrics(trial: TrialView) -> str:
    shown = list(trial.reading.values.items())[:4]
    return "  ".join(f"{name}={number(value)}" for name, value in shown)
