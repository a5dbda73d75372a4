"""From Optuna's trials to ours: whichever storage and whichever program they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from kubetuna.experiment.model import NOTHING
from kubetuna.search.space import point_of, shown
from kubetuna.trials.records import (
    ADDED,
    ATTEMPTS,
    LOG,
    MESSAGE,
    METRICS,
    ORDINAL,
    OUTCOME,
    REPEATS,
    RETEST,
    RETRY,
    SERIES,
    State,
    TrialRecord,
    curve_in,
    decode_attempts,
    decode_repeats,
    is_own,
    metrics_of,
    series_of,
)


def decode_trial(trial: FrozenTrial, now: Mapping[str, BaseDistribution] = NOTHING) -> TrialRecord:
    """The record of one trial as any Optuna storage returns it, ours or a foreign one.

    ``now`` is the search space as it is; a trial that was drawn from another one says so.
    """
    system = trial.system_attrs
    attempts = decode_attempts(system.get(ATTEMPTS))
    started = next((a.started for a in attempts if a.started is not None), None)
    ended = [a.ended for a in attempts if a.ended is not None]
    finished = trial.state.is_finished()
    own = is_own(system)
    return TrialRecord(
        number=trial.number,
        state=cast(State, trial.state.name),
        outcome=system.get(OUTCOME),
        params=point_of(trial) if own else dict(trial.params),
        values=_finite(trial.values),
        metrics=metrics_of(_reported(system) if own else trial.user_attrs),
        steps=tuple(sorted(_finite_steps(curve_in(system) or trial.intermediate_values))),
        attempts=attempts,
        started=started if own else epoch_seconds(trial.datetime_start),
        ended=(ended[-1] if own and ended else epoch_seconds(trial.datetime_complete)) if finished else None,
        message=str(system.get(MESSAGE, "")),
        ordinal=system.get(ORDINAL),
        feasible=all(v <= 0 for v in trial.constraints.values()),
        series=series_of(system.get(SERIES)),
        repeats=decode_repeats(system.get(REPEATS)),
        retest_of=system.get(RETEST),
        space={n: shown(d) for n, d in trial.distributions.items() if own and n in now and d != now[n]},
        lines_cut=int((system.get(LOG) or {}).get("cut") or 0),
        retry_of=system.get(RETRY),
        added=ADDED in system,
    )


def epoch_seconds(moment: datetime | None) -> float | None:
    """Seconds since the epoch of Optuna's naive local time."""
    return None if moment is None else moment.timestamp()


def _reported(system: Mapping[str, Any]) -> Any:
    """An ended trial's metrics; of an open one the latest that its log showed."""
    if METRICS in system:
        return system[METRICS]
    return (system.get(LOG) or {}).get("curve", {}).get("latest")


def _finite(values: Sequence[float] | None) -> tuple[float, ...] | None:
    if values is None or any(v is None or v != v or abs(v) == float("inf") for v in values):
        return None
    return tuple(float(v) for v in values)


def _finite_steps(values: Mapping[int, float]) -> list[tuple[int, float]]:
    return [(s, v) for s, v in values.items() if v == v and abs(v) != float("inf")]


def told_order(trial: FrozenTrial) -> tuple[bool, float, int]:
    """By which trials are in the order in which they were told, those that are open last."""
    ended = epoch_seconds(trial.datetime_complete)
    return (ended is None, ended or 0.0, trial.number)
