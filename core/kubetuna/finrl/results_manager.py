"""Folders of results by name: save a study, list what there is, load it back."""

from __future__ import annotations

from pathlib import Path

from kubetuna.analysis.extensions import task_of
from kubetuna.analysis.folder import SUMMARY, read_results, results_under, write_results
from kubetuna.api.studies import Source, read
from kubetuna.errors import ResultsError
from kubetuna.finrl.tuning import EXPERIMENTS
from kubetuna.study.record import StudyRecord


class HPOResultsManager:
    """The results under a folder, by default ``hpo_experiments``.

    >>> manager = HPOResultsManager("hpo_experiments")
    >>> manager.list()
    ['task1_hpo_results']
    >>> manager.load("task1_hpo_results").spec.name
    'trading-ensemble'
    >>> manager.latest().spec.name
    'trading-ensemble'
    """

    def __init__(self, folder: str | Path = EXPERIMENTS) -> None:
        self.folder = Path(folder)

    def save(self, study: Source, name: str | None = None, study_name: str | None = None) -> Path:
        """Write a study's results into a folder of this name, by default ``TASK_hpo_results``.

        ``study`` is an Optuna study, a store's URL (with ``study_name``), another folder, or results.
        """
        seen = read(study, study_name)
        return write_results(seen, self.folder / (name or f"{task_of(seen.spec)}_hpo_results"))

    def load(self, name: str) -> StudyRecord:
        """Read the results of this name back.

        Raises:
            ResultsError: there are none, or they are damaged.
        """
        if not (self.folder / name).is_dir():
            known = ", ".join(self.list()) or "none yet"
            raise ResultsError(f"{self.folder}: holds no results {name!r}; there is {known}")
        return read_results(self.folder / name)

    def list(self) -> list[str]:
        """The names of all results, sorted."""
        found = results_under(self.folder) if self.folder.is_dir() else []
        return [place.name for place in found if place != self.folder]

    def latest(self, task: str | None = None) -> StudyRecord:
        """The results that were written last, of one task or of any.

        Raises:
            ResultsError: there are none.
        """
        names = sorted(self.list(), key=lambda n: (self.folder / n / SUMMARY).stat().st_mtime, reverse=True)
        for name in names:
            seen = self.load(name)
            if task in (None, task_of(seen.spec)):
                return seen
        raise ResultsError(f"{self.folder}: holds no results{f' of {task}' if task else ''} yet")
