"""Pruning that is safe without being tuned: successive halving that knows how much a curve tells of its end.

A trial is judged after an eighth, a quarter and a half of the reports that a whole one makes, and stops where it is
not among the better half of all that came so far. Asynchronous halving errs where curves cross and reports are
noisy. So the finished trials are asked how far their ends lay from what the same report foretold: whoever may still
end in the better half by that measure goes on, and where a report tells nothing of the end nobody is stopped.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from optuna import Study
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from kubetuna.search.space import study_sign

SHARES = (1 / 8, 1 / 4, 1 / 2)
# A straight line through fewer leaves nothing to tell its error from.
FEWEST = 5
# So many of the newest trials tell how curves end: more make it slow and tell no more.
MOST = 500


class HalvingPruner(BasePruner):
    """``n_startup_trials``: so many whole trials come first. ``caution``: in standard errors of the forecast."""

    def __init__(self, n_startup_trials: int = FEWEST, caution: float = 1.25) -> None:
        self._first, self._caution = max(FEWEST, n_startup_trials), caution

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial ought to stop, by its curve so far and those of the others."""
        sign = -study_sign(study.direction)
        own = _curve(trial, sign)
        trials = [other for other in study.get_trials(deepcopy=False)[-MOST:] if other.number != trial.number]
        others = [(other.state, _curve(other, sign)) for other in trials if other.intermediate_values]
        whole = [curve for state, curve in others if state is TrialState.COMPLETE]
        if len(whole) < self._first:
            return False
        rung = _rung(len(own), statistics.median(map(len, whole)))
        if rung is None:
            return False
        there = [_at(curve, rung) for _, curve in others if len(curve) >= rung]
        error = _error([curve for curve in whole if len(curve) > rung], rung)
        return _at(own, rung) < statistics.median(there) - self._caution * error


def _curve(trial: FrozenTrial, sign: float) -> list[float]:
    """The values in the order of their steps; greater is better."""
    return [sign * value for _, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)]


def _rung(reports: int, length: float) -> int | None:
    """The last point of judgement that so many reports have passed; a whole trial makes ``length``."""
    passed = [rung for share in SHARES if (rung := math.ceil(share * length)) <= reports]
    return passed[-1] if passed else None


def _at(curve: Sequence[float], rung: int) -> float:
    """A curve at a rung: the mean over the last quarter of the way, since single reports are noisy."""
    return statistics.fmean(curve[rung - max(1, rung // 4) : rung])


def _error(whole: Sequence[Sequence[float]], rung: int) -> float:
    """By how much a value at a rung errs about the end, in the unit of the values there; infinite if it is mute."""
    at, end = [_at(curve, rung) for curve in whole], [curve[-1] for curve in whole]
    if len(whole) < FEWEST or min(at) == max(at) or min(end) == max(end):
        return math.inf
    line = statistics.linear_regression(at, end)
    left = sum((there - line.slope * here - line.intercept) ** 2 for here, there in zip(at, end, strict=True))
    return math.inf if line.slope <= 0 else math.sqrt(left / (len(whole) - 2)) / line.slope
