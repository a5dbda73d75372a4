"""Which seeds run which lines of the product: a mutant of lines that a seed never runs changes nothing in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import coverage

from tests.sim.mutants.mutant import PROJECT

# By file and line the seeds that ran it; what ran as its file was loaded, before all of them, has an empty one.
Reached = dict[str, dict[int, list[str]]]


class Lines:
    """Notes which lines of some files run, by seed."""

    def __init__(self, files: set[str]) -> None:
        paths = [str(PROJECT / file) for file in files]
        self._measured = coverage.Coverage(include=paths, data_file=None, config_file=False)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """As long as this lasts. Nothing of the product may be loaded before."""
        self._measured.start()
        try:
            yield
        finally:
            self._measured.stop()

    def begin(self, seed: int) -> None:
        """What runs from now on runs in this seed."""
        self._measured.switch_context(str(seed))

    def found(self) -> Reached:
        """By file, from the project's folder on."""
        data = self._measured.get_data()
        return {file.removeprefix(f"{PROJECT}/"): data.contexts_by_lineno(file) for file in data.measured_files()}
