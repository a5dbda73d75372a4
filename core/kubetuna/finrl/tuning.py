"""Tuning one of the shipped tasks from the command line or from Python: run, then leave a folder of results."""

from __future__ import annotations

import threading
from pathlib import Path

from kubetuna.analysis.folder import write_results
from kubetuna.experiment.model import Experiment
from kubetuna.local import runner
from kubetuna.study.record import StudyRecord

EXPERIMENTS = Path("hpo_experiments")


def results_folder(task: str) -> Path:
    """Where a task's results lie, as the contest's guide names it."""
    return EXPERIMENTS / f"{task}_hpo_results"


def tune(
    spec: Experiment, url: str, watchers: runner.Watchers, interrupt: threading.Event, folder: Path
) -> tuple[runner.RunResult, StudyRecord]:
    """Run an experiment, or take it up where it was, and write what is known of it into a folder."""
    told = runner.run(spec, url, watchers, interrupt)
    seen = runner.look_by_name(spec.name, url)
    write_results(seen, folder)
    return told, seen
