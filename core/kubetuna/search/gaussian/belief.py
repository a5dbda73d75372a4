"""What is believed of a search's trials: which is best, and how far chance alone moves their values.

A Gaussian process says it, of every run of every trial: of repeats and re-tests it learns how far runs of one point
lie apart, of single runs what a smooth function leaves unexplained. It is a function of the trials alone, so
whoever reads a study, on whatever machine, names the same winner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kubetuna.experiment.model import Experiment
from kubetuna.search.gaussian.ascent import most_promising
from kubetuna.search.gaussian.encoding import Array, Encoding
from kubetuna.search.gaussian.history import SEEN, best_and_latest
from kubetuna.search.gaussian.improvement import Promise
from kubetuna.search.gaussian.process import Process
from kubetuna.search.gaussian.sampler import GOOD, explained
from kubetuna.search.gaussian.threads import one_thread
from kubetuna.search.space import space_of, stored
from kubetuna.trials.choice import Choice, Outlook
from kubetuna.trials.records import TrialRecord

# Of the spread of all values: where chance moves a trial's value further, the best value seen is mostly luck. Of
# the tables that the choice was measured on, those whose winner changes with the seed are above, others below.
HIGH_NOISE = 0.15
# Two trials are told apart where their difference is unlikely to be 0: two-sided, 5 %.
APART = 1.96
RUNS_SEEN = 8
RANKED = 50


@dataclass(frozen=True, slots=True)
class Belief:
    """A process of ``runs``, values in the objective's unit with smaller ones better, and as ``warped``."""

    encoding: Encoding
    runs: Array
    warped: Array
    process: Process

    @property
    def noise(self) -> float:
        """How far one run lies from the mean of many, in spreads of all values."""
        return math.sqrt(self.process.kernel.noise)

    def value(self, warped: float) -> float:
        """A value in the objective's unit."""
        order = np.argsort(self.warped, kind="stable")
        return float(np.interp(warped, self.warped[order], self.runs[order]))

    def of(self, trials: Sequence[TrialRecord]) -> tuple[Array, Array]:
        """What is expected of trials that have a place, and the covariances of that."""
        with one_thread():
            return self.process.together(np.array([_place(self.encoding, t) for t in trials]))


def believed(spec: Experiment, trials: Sequence[TrialRecord]) -> Belief | None:
    """Of complete trials; None where all have one value, or there is one point."""
    encoding = Encoding({name: d for name, d in space_of(spec).items() if not d.single()})
    seen = [(p, v) for t in trials if (p := _place(encoding, t)) is not None for v in _runs(spec, t)]
    values = np.array([v for _, v in seen])
    if not encoding.axes or not len(values) or values.min() == values.max():
        return None
    points = np.array([p for p, _ in seen])
    with one_thread():
        warped, process = explained(encoding, points, values, points[:0])
    return Belief(encoding, values, warped.values, process)


def choice_of(spec: Experiment, trials: Sequence[TrialRecord]) -> Choice | None:
    """Who wins: of those that were re-tested, where there are any; else of all that are complete and allowed."""
    if spec.multi_objective:
        return None
    sound = _seen(spec, _sound(trials))
    belief = believed(spec, sound)
    if belief is None:
        return None
    again = {t.retest_of: t for t in sound if t.retest_of is not None and t.feasible}
    found = [t for t in sound if t.retest_of is None and t.feasible and _place(belief.encoding, t) is not None]
    if not found:
        return None
    seen = min(found, key=lambda t: (_value(spec, t), t.number))
    retested = [t for t in found if t.number in again]
    if retested:
        means, covariance = _of_runs([[*_runs(spec, t), *_runs(spec, again[t.number])] for t in retested])
    else:
        means, covariance = belief.of(found)
    order = np.argsort(means if retested else np.round(means, 6), kind="stable")
    first, variance = order[0], np.diag(covariance)
    apart = np.sqrt(np.maximum(variance + variance[first] - 2 * covariance[first], 0.0))
    alike = (means - means[first] <= APART * apart + 1e-12)[order]
    best, candidates = float(means[first]), retested or found
    return Choice(
        tuple(candidates[i].number for i in order[:RANKED]),
        spec.objectives[0].sign * (best if retested else belief.value(best)),
        seen.number,
        len(alike) if alike.all() else int(alike.argmin()),
        bool(belief.noise > HIGH_NOISE * math.sqrt(spec.repeats)),
    )


def outlook_of(spec: Experiment, trials: Sequence[TrialRecord]) -> Outlook:
    """What one more trial is expected to gain over what is expected of the best, wherever that is most."""
    done = _seen(spec, _sound(trials))
    belief = believed(spec, done)
    allowed = [t for t in done if t.feasible and belief and _place(belief.encoding, t) is not None]
    if belief is None or not allowed:
        return Outlook(len(trials))
    means, _ = belief.of(allowed)
    best = float(means.min())
    order = np.argsort(np.round(means, 6), kind="stable")[:GOOD]
    good = np.array([_place(belief.encoding, allowed[i]) for i in order])
    promise, taken = Promise(belief.process, best), {p.tobytes() for p in belief.process.points}
    with one_thread():
        rng = np.random.default_rng(len(trials))
        point = most_promising(promise, belief.encoding, good, lambda p: p.tobytes() in taken, rng)
        gain = 0.0 if point is None else float(np.exp(promise.of(point[None, :])[0]))
    noise = belief.noise / math.sqrt(spec.repeats)
    above = [belief.value(best + step) - belief.value(best) for step in (gain, noise)]
    return Outlook(len(trials), above[0], above[1], gain / noise)


def _sound(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [t for t in trials if t.state == "COMPLETE" and t.values and all(map(math.isfinite, t.values))]


def _of_runs(runs: Sequence[Sequence[float]]) -> tuple[Array, Array]:
    """Means of the runs of each trial and their covariances, if chance moves the runs of all alike."""
    with np.errstate(over="ignore"):
        pooled = sum(float(np.var(one)) * len(one) for one in runs) / max(1, sum(len(one) - 1 for one in runs))
    return np.array([np.mean(one) for one in runs]), np.diag([pooled / len(one) for one in runs])


def _seen(spec: Experiment, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """As many as a process takes; re-tests, which are few and about the best, all."""
    again = [t for t in trials if t.retest_of is not None]
    searched = [t for t in trials if t.retest_of is None]
    most = max((len(_runs(spec, t)) for t in searched), default=1)
    chosen = best_and_latest([_value(spec, t) for t in searched], max(SEEN // most, 2))
    return [*(searched[i] for i in chosen), *again[: SEEN // RUNS_SEEN]]


def _runs(spec: Experiment, trial: TrialRecord) -> list[float]:
    """The value of each run, smaller is better."""
    objective = spec.objectives[0]
    each = [run[objective.metric] for run in trial.repeats if math.isfinite(run.get(objective.metric, math.nan))]
    return [objective.sign * value for value in each[:RUNS_SEEN]] or [_value(spec, trial)]


def _value(spec: Experiment, trial: TrialRecord) -> float:
    assert trial.values is not None
    return spec.objectives[0].sign * trial.values[0]


def _place(encoding: Encoding, trial: TrialRecord) -> Array | None:
    """Where a trial lies; a parameter that does not exist in it is at its first value."""
    first = encoding.params(np.zeros(len(encoding.axes)))
    return encoding.point({**first, **{name: stored(value) for name, value in trial.params.items()}})
