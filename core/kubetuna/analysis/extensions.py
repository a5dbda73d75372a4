"""What a domain adds to how studies are shown: sections and checks of the report, figures, next commands.

The core knows no domain. A distribution registers an ``Extension`` under the entry point group
``kubetuna.extensions``; the FinRL contest's is ``kubetuna.finrl.extension``. Every hook may add nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path
from typing import Any

from kubetuna.analysis.report.chart import Section
from kubetuna.analysis.report.checks import Check
from kubetuna.analysis.report.view import View
from kubetuna.experiment.model import Experiment
from kubetuna.study.record import StudyRecord

GROUP = "kubetuna.extensions"


class Extension:
    """The hooks, each without effect."""

    def task(self, spec: Experiment) -> str | None:
        """The domain's name for what an experiment tunes; None where it is not the domain's."""
        return None

    def sections(self, seen: StudyRecord) -> Iterable[Section]:
        """Further sections of the report."""
        return ()

    def checks(self, seen: StudyRecord, view: View) -> Iterable[Check]:
        """Further reliability checks, the most important first."""
        return ()

    def figures(self, seen: StudyRecord) -> Mapping[str, Any]:
        """Further fields of the summary."""
        return {}

    def commands(self, spec: Experiment, study: str) -> Iterable[tuple[str, str]]:
        """Commands that come next, each with what it does; ``study`` is quoted for a shell."""
        return ()

    def closing(self, metrics: Mapping[str, float]) -> Iterable[str]:
        """Lines after a run, about the best trial's metrics."""
        return ()

    def card(self, task: str, folder: Path) -> Mapping[str, str]:
        """Sections of the card of a model in a folder: how it decides, how to load it, and its limits."""
        return {}


@cache
def extensions() -> Sequence[Extension]:
    """Every registered extension, by name; one that two installed distributions register counts once."""
    found = {one.name: one for one in entry_points(group=GROUP)}
    return tuple(found[name].load() for name in sorted(found))


def task_of(spec: Experiment) -> str:
    """A domain's name for what an experiment tunes, else the experiment's own."""
    return next((task for one in extensions() if (task := one.task(spec))), spec.name)


def sections_of(seen: StudyRecord) -> list[Section]:
    """The sections that domains add to a study's report."""
    return list(chain.from_iterable(one.sections(seen) for one in extensions()))


def checks_of(seen: StudyRecord, view: View) -> list[Check]:
    """The reliability checks that domains add."""
    return list(chain.from_iterable(one.checks(seen, view) for one in extensions()))


def figures_of(seen: StudyRecord) -> dict[str, Any]:
    """The fields that domains add to a study's summary."""
    return {name: value for one in extensions() for name, value in one.figures(seen).items()}


def commands_of(spec: Experiment, study: str) -> Iterator[tuple[str, str]]:
    """The commands that domains offer next."""
    return chain.from_iterable(one.commands(spec, study) for one in extensions())


def closing_of(metrics: Mapping[str, float]) -> list[str]:
    """What domains say of the best trial once a run has ended."""
    return list(chain.from_iterable(one.closing(metrics) for one in extensions()))


def card_of(task: str, folder: Path) -> dict[str, str]:
    """What domains say in a model card."""
    return {title: text for one in extensions() for title, text in one.card(task, folder).items()}
