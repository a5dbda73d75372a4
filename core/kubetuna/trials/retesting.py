"""Re-test: the best trials of a finished search run again with further seeds, so that luck does not choose.

Whoever takes the best of many noisy values takes a lucky one. Each candidate's parameters are run again as a trial
of their own, which the search does not count and no pruner ends; the best by its mean over the new seeds is the
experiment's best, and the value shown for it is that mean, on which the choice among the many had no hold.
"""

from __future__ import annotations

from kubetuna.experiment.model import Experiment
from kubetuna.trials.records import TrialRecord
from kubetuna.trials.totals import eligible


class Candidates:
    """The best trials of one experiment's search as they end, and which of them are re-tested."""

    def __init__(self, spec: Experiment) -> None:
        self._top = spec.retest.top if spec.retest is not None else 0
        self._sign = 1.0 if spec.objectives[0].direction == "minimize" else -1.0
        self._best: list[tuple[float, int]] = []
        self._taken: set[int] = set()

    def add(self, record: TrialRecord) -> None:
        """Take in a trial of ours that has ended."""
        if self._top and record.retest_of is None and eligible(record) and record.values:
            ranked = sorted([*self._best, (self._sign * record.values[0], record.number)])
            self._best = ranked[: self._top]

    def take(self, number: int) -> None:
        """Note that a trial is re-tested, whatever comes of it."""
        self._taken.add(number)

    def due(self) -> tuple[int, ...]:
        """The candidates that are not re-tested yet, the best first."""
        return tuple(number for _, number in self._best if number not in self._taken)
