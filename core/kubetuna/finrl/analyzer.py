"""Looking at results: plots, a comparison, the best configurations, one page over everything."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubetuna.analysis.best_config import best_trial, configuration, write_configuration
from kubetuna.analysis.comparison import Comparison, compare
from kubetuna.analysis.extensions import task_of
from kubetuna.analysis.overview import write_overview
from kubetuna.analysis.pictures import write_pictures
from kubetuna.analysis.report.text import number
from kubetuna.analysis.summary import summary, summary_text
from kubetuna.api.studies import Source, read, read_all
from kubetuna.errors import KubetunaError, ResultsError
from kubetuna.files import write_whole
from kubetuna.finrl.tuning import EXPERIMENTS
from kubetuna.study.record import StudyRecord


class HPOAnalyzer:
    """Everything that the studies of a folder, or of a store, can tell.

    ``results`` is ``hpo_experiments``, one folder of results in it, an Optuna study, or a store's URL.

    >>> analyzer = HPOAnalyzer("hpo_experiments")
    >>> analyzer.names
    ['trading-ensemble']
    >>> analyzer.results("trading-ensemble")["best_params"]["batch_size"]
    256
    """

    def __init__(self, results: Source = EXPERIMENTS, study_name: str | None = None) -> None:
        self._studies = [seen for seen, _ in read_all(results, study_name)]

    @property
    def names(self) -> list[str]:
        """What the studies can be called: their tasks, or their own names."""
        return [task_of(seen.spec) for seen in self._studies]

    @property
    def task1_results(self) -> Mapping[str, Any]:
        """The best of task 1: ``["best_params"]``, ``["metric"]``, ``["value"]``, ``["trial"]``, …"""
        return self.results("task1")

    @property
    def task2_results(self) -> Mapping[str, Any]:
        """The best of task 2, likewise."""
        return self.results("task2")

    def results(self, name: str) -> Mapping[str, Any]:
        """The best of one study, as ``export`` writes it.

        Raises:
            ResultsError: there is no such study, or none of its trials has completed.
        """
        seen = self._study(name)
        return configuration(seen, best_trial(seen))

    def _study(self, name: str) -> StudyRecord:
        found = [seen for seen in self._studies if name in (task_of(seen.spec), seen.spec.name)]
        if not found:
            raise ResultsError(f"there is no study of {name!r} here; there is {', '.join(self.names) or 'none'}")
        return found[-1]

    def create_optimization_plots(self, name: str, save_path: str | Path | None = None) -> Path:
        """Draw a study as one picture of several panels; PNG, SVG, PDF or HTML by the ending of ``save_path``.

        Raises:
            ResultsError: the ending is not known, or there is nothing to draw yet.
        """
        return write_pictures(self._study(name), Path(save_path or f"{name}_optimization.png"))

    def generate_comparison_report(self, save_path: str | Path | None = None) -> str:
        """What each study found and, where they have a metric in common, which search went best; as text."""
        now = time.time()
        parts = [summary_text(summary(seen, seen.spec.name, now)) for seen in self._studies]
        if len(self._studies) > 1:
            parts.append(_compared(self._studies))
        text = "\n\n".join(parts) + "\n"
        if save_path is not None:
            write_whole(Path(save_path), text)
        return text

    def export_best_configurations(self, folder: str | Path = "production_configs") -> list[Path]:
        """Write ``TASK_best_config.json`` for every study that has a best.

        Raises:
            ResultsError: none has.
        """
        written, faults = [], []
        for seen in self._studies:
            try:
                written.append(write_configuration(seen, Path(folder)))
            except ResultsError as error:
                faults.append(str(error))
        if not written:
            raise ResultsError("\n".join(faults))
        return written


def _compared(studies: Sequence[StudyRecord]) -> str:
    try:
        found = compare(studies)
    except KubetunaError as error:
        return f"Not compared: {error}"
    rows = [
        f"  {one.study}: best of {one.of} is likely {number(one.likely)} ({number(one.low)} to {number(one.high)})"
        for one in found.studies
    ]
    return "\n".join([f"Comparison by {found.metric}", *rows, found.verdict])


def create_hpo_dashboard(folder: str | Path = EXPERIMENTS, save_path: str | Path | None = None) -> Path:
    """Write one page over all results of a folder; returns its path, ``FOLDER/dashboard.html`` by default.

    >>> create_hpo_dashboard("hpo_experiments").name
    'dashboard.html'
    """
    return write_overview(Path(folder), Path(save_path) if save_path else None)


def compare_multiple_studies(
    studies: Sequence[tuple[str | Path, str]], metric_name: str | None = None
) -> Comparison:
    """Compare studies of any stores, ``(database, study)`` each, at equal numbers of trials, with intervals.

    For example ``compare_multiple_studies([("a.db", "tpe"), ("b.db", "random")], "sharpe_ratio").verdict``.

    Raises:
        KubetunaError: a study is not there, or they have no metric in common.
    """
    return compare([read(study) for study in studies], metric_name)
