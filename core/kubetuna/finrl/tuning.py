"""Tuning one of the shipped tasks from the command line or from Python: run, then leave a folder of results."""

from __future__ import annotations

import threading
from pathlib import Path

from rich.console import Console

from kubetuna.analysis.folder import write_results
from kubetuna.experiment.model import Experiment
from kubetuna.local import runner
from kubetuna.study.record import StudyRecord
from kubetuna.terminal.live import run_shown

EXPERIMENTS = Path("hpo_experiments")


def results_folder(task: str) -> Path:
    """Where a task's results lie, as the contest's guide names it."""
    return EXPERIMENTS / f"{task}_hpo_results"


def tune(
    spec: Experiment,
    url: str,
    console: Console,
    interrupt: threading.Event,
    folder: Path,
    study: str | None = None,
) -> tuple[runner.RunResult, StudyRecord]:
    """Run an experiment, or take it up where it was, and write what is known of it into a folder."""
    told = run_shown(spec, url, console, interrupt, study)
    seen = told.study or runner.look_by_name(study or spec.name, url)
    write_results(seen, folder)
    return told, seen
