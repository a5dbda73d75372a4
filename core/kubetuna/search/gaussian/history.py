"""What a Gaussian process learns from a study's trials: points with values, what is under way, what is allowed.

It sees a bounded number of trials, whatever the study holds: its cost grows with their third power. Which ones is
a function of the trials alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from kubetuna.search.gaussian.encoding import Array, Encoding
from kubetuna.search.gaussian.warp import warps
from kubetuna.search.space import study_sign

# Trials that are learned from: the best and the latest of more, half each.
SEEN = 240
PENDING = 100
# How far a point that ran out of memory is held to be beyond what is allowed, in spreads of the constraints.
_REFUSED = 1.0
# Of an objective's share in the mixture of several, so that none is forgotten.
_PART_OF_ALL = 0.05


@dataclass(frozen=True, slots=True)
class History:
    """``values`` of ``points``, smaller is better, a column an objective; ``violations`` of ``judged`` points."""

    points: Array
    values: Array
    feasible: Array
    judged: Array
    violations: Array
    pending: Array


def history_of(study: Study, trial: FrozenTrial, encoding: Encoding) -> History:
    """What is known when ``trial`` is to be proposed."""
    trials = study.get_trials(deepcopy=False)
    signs = np.array([study_sign(d) for d in study.directions])
    ended = [t for t in trials if _is_done(t)]
    done = [ended[i] for i in best_and_latest([_worth(t, signs) for t in ended])]
    placed = [(t, p) for t in done if (p := encoding.point(t.params)) is not None]
    scored = [(t, p) for t, p in placed if _score(t, signs) is not None]
    running = [t for t in trials if t.state is TrialState.RUNNING and t.number != trial.number]
    pending = [p for t in running[-PENDING:] if (p := encoding.point(t.params)) is not None]
    judged, violations = _violations(placed)
    empty = np.empty((0, len(encoding.axes)))
    return History(
        points=np.array([p for _, p in scored]) if scored else empty,
        values=_values([t for t, _ in scored], signs),
        feasible=np.array([_is_feasible(t) for t, _ in scored], dtype=bool),
        judged=judged if len(judged) else empty,
        violations=violations,
        pending=np.array(pending) if pending else empty,
    )


def _values(scored: Sequence[FrozenTrial], signs: Array) -> Array:
    """A row a trial. One that was pruned stands no better than the median of those that came to their end."""
    rows = np.array([_score(t, signs) for t in scored]).reshape(len(scored), len(signs))
    ended = np.array([t.state is TrialState.COMPLETE for t in scored], dtype=bool)
    if ended.any() and not ended.all():
        rows[~ended] = np.maximum(rows[~ended], np.quantile(rows[ended], 0.5, axis=0, method="lower"))
    return rows


def completed(study: Study) -> int:
    """How many trials have come to a value."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _is_done(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _score(trial: FrozenTrial, signs: Array) -> Array | None:
    """Its values, smaller is better; None where a program left something that is no value."""
    if trial.values is None or len(trial.values) != len(signs):
        return None
    values = signs * np.array(trial.values, dtype=float)
    # Infinitely bad is a way to say that it failed; infinitely good is a slip.
    return None if np.isnan(values).any() or (values == -math.inf).any() else values


def _worth(trial: FrozenTrial, signs: Array) -> float:
    score = _score(trial, signs)
    return math.inf if score is None else float(score.sum())


def best_and_latest(worth: Sequence[float], limit: int = SEEN) -> list[int]:
    """Which of many trials are learned from, by what they are worth, smaller is better: places in their order."""
    best = sorted(range(len(worth)), key=lambda i: (worth[i], i))[: limit // 2]
    chosen = set(best)
    latest = [i for i in range(len(worth) - 1, -1, -1) if i not in chosen][: limit - len(best)]
    return sorted((*best, *latest))


def _is_feasible(trial: FrozenTrial) -> bool:
    return all(v <= 0 for v in trial.constraints.values())


def _violations(placed: Sequence[tuple[FrozenTrial, Array]]) -> tuple[Array, Array]:
    """How far each point is beyond its worst constraint, in spreads; nothing where every point is allowed."""
    names = sorted({name for t, _ in placed for name in t.constraints})
    raw = np.array([[_bounded(t.constraints.get(name, math.nan)) for name in names] for t, _ in placed])
    raw = raw.reshape(len(placed), len(names))
    refused = np.array([t.state is TrialState.PRUNED and not t.values for t, _ in placed], dtype=bool)
    if not (refused.any() or (raw > 0).any()):
        return np.empty((0, 0)), np.empty(0)
    spread = np.array([np.abs(np.nan_to_num(column)).mean() or 1.0 for column in raw.T])
    scaled = np.where(np.isnan(raw), -_REFUSED, np.clip(raw / spread, -3.0, 3.0)) if names else raw
    worst = scaled.max(axis=1) if names else np.full(len(placed), -_REFUSED)
    return np.array([p for _, p in placed]), np.where(refused, _REFUSED, worst)


def _bounded(value: float) -> float:
    return float(np.clip(value, -1e100, 1e100))


def one_value(history: History, weights: Array) -> Array:
    """One finite value a trial; of several objectives their worst, each weighed, and a part of their sum."""
    finite = np.where(np.isinf(history.values), np.nan, history.values)
    worst = np.nan_to_num(np.nanmax(np.where(np.isnan(finite), -np.inf, finite), axis=0), neginf=0.0)
    values = np.where(np.isnan(finite), worst, finite)
    if values.shape[1] == 1:
        return values[:, 0]
    each = np.stack([_from_0_to_1(next(warps(column)).values) for column in values.T], axis=1) * weights
    return np.asarray(each.max(axis=1) + _PART_OF_ALL * each.sum(axis=1))


def _from_0_to_1(values: Array) -> Array:
    return np.asarray((values - values.min()) / max(float(np.ptp(values)), 1e-12))
