"""What every part of the page looks at: the experiment, its status, its trials, and who is best.

The choice of the best is the status's own, so that the page never contradicts the command line; only where
the status knows none, as for a study that another program wrote, the trials themselves decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from kubetuna.experiment.model import Experiment
from kubetuna.trials.constraints import why_no_best
from kubetuna.trials.progress import best_of, pareto_front
from kubetuna.trials.records import TrialRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """One study at one moment. ``scored`` are the complete trials with a value for each objective.

    ``retests`` are runs of the best trials' parameters after the search; no figure about the search counts them.
    ``alike`` is how many trials of other studies were judged on the same data by the same rules.
    """

    spec: Experiment
    status: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]
    scored: tuple[TrialRecord, ...]
    winners: tuple[TrialRecord, ...]
    generated: float
    retests: tuple[TrialRecord, ...] = ()
    alike: int = 0

    @property
    def best(self) -> TrialRecord | None:
        """The best trial of a single objective."""
        return self.winners[0] if self.winners and not self.spec.multi_objective else None

    @property
    def why_no_best(self) -> str:
        """Why there is no best trial, where there is none."""
        counts = {"trials": len(self.trials), "trialsSucceeded": len(self.scored)}
        return why_no_best(self.spec, counts)

    @property
    def over(self) -> bool:
        """Whether the experiment has ended."""
        return self.status.get("state") in ("Succeeded", "Failed")

    @property
    def eligible(self) -> tuple[TrialRecord, ...]:
        """The scored trials that violate no constraint."""
        return tuple(t for t in self.scored if t.feasible)

    def ranked(self, index: int = 0) -> list[TrialRecord]:
        """The eligible trials, best first in one objective; the earlier among equals."""
        sign = self.spec.objectives[index].sign
        return sorted(self.eligible, key=lambda t: (sign * value_of(t, index), t.number))


def view_of(
    spec: Experiment,
    status: Mapping[str, Any],
    trials: Sequence[TrialRecord],
    generated: float,
    alike: int = 0,
) -> View:
    """Look at a study."""
    every = sorted((_sound(t) for t in trials), key=lambda t: t.number)
    ordered = tuple(t for t in every if t.retest_of is None)
    retests = tuple(t for t in every if t.retest_of is not None)
    width = len(spec.objectives)
    scored = tuple(t for t in ordered if t.state == "COMPLETE" and t.values and len(t.values) == width)
    return View(spec, status, ordered, scored, _winners(spec, status, scored), generated, retests, alike)


def _sound(trial: TrialRecord) -> TrialRecord:
    """The trial without numbers that are none, which no axis has a place for."""
    values, steps = trial.values, trial.steps
    if values is not None and not all(map(math.isfinite, values)):
        values = None
    if not all(math.isfinite(v) for _, v in steps):
        steps = tuple((step, v) for step, v in steps if math.isfinite(v))
    return trial if values is trial.values and steps is trial.steps else replace(trial, values=values, steps=steps)


def _winners(spec: Experiment, status: Mapping[str, Any], scored: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    if spec.multi_objective:
        # The status cuts its front short; here all of it is wanted.
        own = [t for t in scored if t.own]
        return pareto_front(spec, own or scored)
    shown = status.get("currentOptimalTrial") or {}
    told = shown.get("retestOf", shown.get("number"))
    best = next((t for t in scored if t.number == told), None) or best_of(spec, scored)
    return () if best is None else (best,)


def value_of(trial: TrialRecord, index: int = 0) -> float:
    """A scored trial's value of one objective."""
    assert trial.values is not None
    return trial.values[index]


def thinned(items: Sequence[T], limit: int, keep: Iterable[T] = ()) -> list[T]:
    """At most about ``limit`` items, evenly chosen in their order, with those to ``keep`` among them."""
    if len(items) <= limit:
        return list(items)
    kept = {id(item) for item in keep}
    chosen = {round(i * (len(items) - 1) / (limit - 1)) for i in range(limit)}
    return [item for index, item in enumerate(items) if index in chosen or id(item) in kept]


def shown_of(shown: int, total: int, noun: str) -> str:
    """A note on what was left out; empty where nothing was."""
    return (
        ""
        if shown >= total
        else f" To keep the page small, {shown:,} of {total:,} {noun} are drawn, evenly spaced."
    )
