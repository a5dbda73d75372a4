"""Counting ended trials as they are told, so that a decision never costs more the older an experiment is.

The counts feed ``kubetuna.trials.snapshot.Tally``; which value is best follows the experiment's one objective (with
several there is a Pareto front instead, and no best).
"""

from __future__ import annotations

from kubetuna.experiment.model import Experiment, Objective
from kubetuna.trials.outcome import RULES, Outcome
from kubetuna.trials.records import TrialRecord, outcome_of
from kubetuna.trials.snapshot import Tally


def better(candidate: float, than: float | None, objective: Objective) -> bool:
    """Whether a value beats another in the objective's direction; anything beats None."""
    if than is None:
        return True
    return candidate > than if objective.direction == "maximize" else candidate < than


def reaches(value: float, goal: float | None, objective: Objective) -> bool:
    """Whether a value is at least as good as the goal; never without a goal."""
    if goal is None:
        return False
    return value >= goal if objective.direction == "maximize" else value <= goal


class Counter:
    """Mutable counts over told trials of one experiment; ``tally`` freezes them."""

    def __init__(self, experiment: Experiment) -> None:
        self._spec = experiment
        self.best: TrialRecord | None = None
        self.ended: dict[str, int] = {}
        self._goal = False
        self._since = self._retested = 0
        self._alike = 0
        self._last_failure = ""
        self.resource_seconds = 0.0
        self.steps = 0

    def add(self, record: TrialRecord) -> None:
        """Count one told trial of ours, in the order of telling. A re-test is none of the search's trials."""
        self.steps += len(record.steps)
        if record.retest_of is not None:
            self._retested += 1
            return
        outcome = outcome_of(record.outcome) or Outcome.CRASHED
        self.ended[outcome] = self.ended.get(outcome, 0) + 1
        if RULES[outcome].failed:
            same = record.message == self._last_failure
            self._alike = self._alike + 1 if same else 1
            self._last_failure = record.message
        self._since += 1
        if record.state == "COMPLETE" and record.values and record.feasible:
            self._compare(record, record.values)

    def add_attempt(self, seconds: float) -> None:
        """Count the time from start to end of one ended attempt."""
        self.resource_seconds += max(0.0, seconds)

    def _compare(self, record: TrialRecord, values: tuple[float, ...]) -> None:
        goals = [(v, o.goal, o) for v, o in zip(values, self._spec.objectives, strict=False)]
        if any(o.goal is not None for o in self._spec.objectives):
            self._goal |= all(reaches(v, g, o) for v, g, o in goals if g is not None)
        if self._spec.multi_objective:
            self._since = 0
            return
        objective = self._spec.objectives[0]
        self._goal |= reaches(values[0], self._spec.stop_when.goal, objective)
        if better(values[0], self.best.values[0] if self.best and self.best.values else None, objective):
            self.best = record
            self._since = 0

    def tally(self, numbered: int) -> Tally:
        """The counts now, with how many trials were numbered so far."""
        of = self.ended.get
        complete = of(Outcome.SUCCEEDED, 0)
        failed = sum(n for o, n in self.ended.items() if RULES[Outcome(o)].failed)
        return Tally(
            numbered=numbered,
            complete=complete,
            pruned=of(Outcome.PRUNED, 0),
            failed=failed,
            stopped=of(Outcome.STOPPED, 0),
            start_errors=of(Outcome.START_ERROR, 0),
            goal_reached=self._goal,
            since_improvement=self._since,
            identical_failures=0 if complete else self._alike,
            last_failure=self._last_failure,
            retested=self._retested,
        )
