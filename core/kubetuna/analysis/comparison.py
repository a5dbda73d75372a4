"""Comparing studies by what their search is likely to reach, not by their luckiest trial.

Studies of different size are put on one footing: the best of as many trials as the smallest of them has. Its
distribution over draws from a study's own trials is known exactly, so the interval needs no simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kubetuna.errors import Problem, ResultsError, SpecError
from kubetuna.experiment.model import Direction, metric_called, sign_of
from kubetuna.parsing.overrides import metric_and_direction, needs_direction
from kubetuna.study.foreign import UNNAMED
from kubetuna.study.record import StudyRecord, value_in
from kubetuna.trials.progress import eligible

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Compared:
    """One study among others. ``likely``, ``low``, ``high``: the best of ``of`` trials, and its 95 % interval.

    ``chance``: the probability that this study's best of ``of`` is better than the leader's; a half for the leader.
    """

    study: str
    trials: int
    completed: int
    best: float
    best_trial: int
    median: float
    of: int
    likely: float
    low: float
    high: float
    chance: float

    def as_json(self) -> dict[str, Any]:
        """The documented shape of ``kubetuna compare --json``."""
        return {
            "study": self.study,
            "trials": self.trials,
            "completed": self.completed,
            "best": self.best,
            "bestTrial": self.best_trial,
            "median": self.median,
            "bestOf": self.of,
            "likely": self.likely,
            "interval": [self.low, self.high],
            "chanceToBeatTheLeader": self.chance,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Studies, the most promising first."""

    metric: str
    direction: Direction
    studies: tuple[Compared, ...]

    @property
    def verdict(self) -> str:
        """One sentence on whether the leader leads."""
        leader, others = self.studies[0], self.studies[1:]
        if not others:
            return f"{leader.study} is the only study."
        rivals = [s.study for s in others if s.chance > 1 - CONFIDENCE]
        if rivals:
            return f"{leader.study} leads, but its lead over {', '.join(rivals)} is not significant at 95 %."
        return f"{leader.study} is better than the others, at equal numbers of trials, at 95 %."


def compare(seen: Sequence[StudyRecord], metric: str | None = None) -> Comparison:
    """Compare studies by a metric (``NAME`` or ``NAME:minimize``), else by their common objective.

    Raises:
        ResultsError: they have no metric or direction in common, or one has no completed trial.
        SpecError: which way the metric is better is not known.
    """
    named, wanted = metric_and_direction(metric) if metric else (_common_metric(seen), None)
    chosen = metric_called(named, _metrics(seen))
    direction = _direction(seen, chosen, wanted)
    sign = -sign_of(direction)
    scored = [(one, _scores(one, chosen, sign)) for one in seen]
    size = min(len(values) for _, (values, _) in scored)
    leader = max((values for _, (values, _) in scored), key=lambda values: _quantile(values, size, 0.5))
    found = [_compared(one, values, best, size, sign, leader) for one, (values, best) in scored]
    return Comparison(chosen, direction, tuple(sorted(found, key=lambda c: (-sign * c.likely, c.chance != 0.5))))


def _common_metric(seen: Sequence[StudyRecord]) -> str:
    names = {tuple(o.metric for o in one.spec.objectives) for one in seen}
    if len(names) == 1 and len(only := next(iter(names))) == 1:
        return only[0]
    each = "; ".join(f"{one.spec.name}: {', '.join(o.metric for o in one.spec.objectives)}" for one in seen)
    raise ResultsError(f"the studies have no single objective in common ({each}); give --metric NAME")


def _metrics(seen: Sequence[StudyRecord]) -> set[str]:
    """Every metric that a trial of these studies reported or was to."""
    reported = {name for one in seen for trial in one.trials for name in trial.metrics}
    return reported | {o.metric for one in seen for o in one.spec.objectives}


def _direction(seen: Sequence[StudyRecord], metric: str, wanted: str | None) -> Direction:
    """The direction that the studies, and who asks, agree on; those that say none follow the others."""
    unnamed = [o.direction for one in seen for o in one.spec.objectives if o.metric == UNNAMED]
    said = (*(one.spec.direction(metric) for one in seen), *unnamed, wanted)
    found = {cast(Direction, way) for way in said if way is not None}
    if len(found) > 1:
        raise ResultsError(f"some studies maximize {metric}, others minimize it: they cannot be compared")
    if not found:
        raise SpecError((Problem("--metric", needs_direction(metric)),))
    return next(iter(found))


def _scores(one: StudyRecord, metric: str, sign: float) -> tuple[Floats, int]:
    """The values of the eligible trials, worst first and larger is better; and the number of the best trial."""
    found = ((value_in(one, t, metric), -t.number) for t in filter(eligible, one.trials))
    reached = sorted((sign * value, number) for value, number in found if value is not None)
    if not reached:
        known = sorted(_metrics([one]))
        raise ResultsError(
            f"{one.spec.name}: no completed trial has the metric {metric!r}; it knows {', '.join(known[:10])}"
        )
    return np.array([value for value, _ in reached]), -reached[-1][1]


def _compared(one: StudyRecord, values: Floats, best: int, size: int, sign: float, leader: Floats) -> Compared:
    tail = (1 - CONFIDENCE) / 2
    ends = sorted(sign * _quantile(values, size, q) for q in (tail, 1 - tail))
    return Compared(
        study=one.spec.name,
        trials=len(one.trials),
        completed=len(values),
        best=sign * float(values[-1]),
        best_trial=best,
        median=sign * float(np.median(values)),
        of=size,
        likely=sign * _quantile(values, size, 0.5),
        low=ends[0],
        high=ends[1],
        chance=0.5 if values is leader else _chance(values, leader, size),
    )


def _quantile(values: Floats, size: int, share: float) -> float:
    """A quantile of the best of ``size`` draws: P(best <= k-th value) = (k / n) ** size."""
    rank = math.ceil(len(values) * share ** (1 / size) - 1e-9)
    return float(values[max(1, rank) - 1])


def _chance(values: Floats, leader: Floats, size: int) -> float:
    """How probable the best of ``size`` draws from ``values`` beats that from ``leader``; ties count half."""
    mass = np.diff((np.arange(len(values) + 1) / len(values)) ** size)
    below = (np.searchsorted(leader, values, "left") / len(leader)) ** size
    upto = (np.searchsorted(leader, values, "right") / len(leader)) ** size
    return float(np.sum(mass * (below + upto) / 2))
