"""Tuning one of the shipped tasks from the command line or from Python: run, then leave a folder of results."""

from __future__ import annotations

import threading
from pathlib import Path

from kubetuna.cli import local
from kubetuna.results.folder import write_results
from kubetuna.results.seen import Seen
from kubetuna.spec.model import Experiment

EXPERIMENTS = Path("hpo_experiments")


def results_folder(task: str) -> Path:
    """Where a task's results lie, as the contest's guide names it."""
    return EXPERIMENTS / f"{task}_hpo_results"


def tune(
    spec: Experiment, url: str, watchers: local.Watchers, interrupt: threading.Event, folder: Path
) -> tuple[local.Told, Seen]:
    """Run an experiment, or take it up where it was, and write what is known of it into a folder."""
    told = local.run(spec, url, watchers, interrupt)
    seen = local.look_by_name(spec.name, url)
    write_results(seen, folder)
    return told, seen
