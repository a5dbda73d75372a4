"""Finished trials of Katib's as a study, so that an experiment can start from what they found (``warmStart``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Engine

from kubetuna.errors import StoreError
from kubetuna.experiment import quantities
from kubetuna.experiment.model import Experiment
from kubetuna.parsing.warm_start import OUTSIDE, point_value
from kubetuna.search.space import distribution, stored
from kubetuna.store.database import place
from kubetuna.store.reader import study_names
from kubetuna.store.schema import ensure_schema

EXPERIMENT_LABEL = "katib.kubeflow.org/experiment"
# Katib's conditions of an ended trial, the strongest first, and what each is here.
_STATES = {
    "Killed": TrialState.FAIL,
    "Failed": TrialState.FAIL,
    "Succeeded": TrialState.COMPLETE,
    "EarlyStopped": TrialState.PRUNED,
    "MetricsUnavailable": TrialState.FAIL,
}


@dataclass(frozen=True, slots=True)
class History:
    """The study that was made, how many trials it has, and how many were left out: running, or without sense."""

    study: str
    copied: int
    left: int


def copy_history(engine: Engine, spec: Experiment, study: str, trials: Iterable[Mapping[str, Any]]) -> History:
    """Write the ended trials among these into a new study; none is made for none.

    Raises:
        StoreError: a study of that name is there, or the store cannot be used.
    """
    objects = list(trials)
    found = [trial for trial in (_frozen(spec, obj) for obj in objects) if trial is not None]
    ensure_schema(engine)
    if study in study_names(engine):
        raise StoreError(f"the store at {place(engine.url)} has a study {study!r}: its history was copied before")
    if found:
        storage = optuna.storages.RDBStorage(engine.url.render_as_string(hide_password=False))
        directions = [objective.direction for objective in spec.objectives]
        made = optuna.create_study(storage=storage, study_name=study, directions=directions)
        made.set_metric_names([objective.metric for objective in spec.objectives])
        made.add_trials(found)
        storage.engine.dispose()
    return History(study, len(found), len(objects) - len(found))


def of_experiment(trials: Iterable[Any], name: str) -> list[Mapping[str, Any]]:
    """The Trials of one Experiment, the oldest first."""
    named = [
        t for t in trials if isinstance(t, Mapping) and _part(t, "metadata", "labels").get(EXPERIMENT_LABEL) == name
    ]
    return sorted(named, key=lambda trial: str(_part(trial, "metadata").get("creationTimestamp")))


def _part(obj: Any, *path: str) -> Mapping[str, Any]:
    for name in path:
        obj = obj.get(name) if isinstance(obj, Mapping) else None
    return obj if isinstance(obj, Mapping) else {}


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _frozen(spec: Experiment, obj: Mapping[str, Any]) -> FrozenTrial | None:
    """One trial; None of one that has not ended, or whose point is not one of the search space."""
    state = _state(obj)
    given = {str(a.get("name")): a.get("value") for a in _items(_part(obj, "spec").get("parameterAssignments"))}
    point = {p.name: point_value(p, given[p.name]) for p in spec.parameters if p.name in given}
    if state is None or len(point) < len(spec.parameters) or OUTSIDE in point.values():
        return None
    value = _value(spec, obj)
    if state is not TrialState.FAIL and value is None:
        state = TrialState.FAIL
    made = create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        params={name: stored(found) for name, found in point.items()},  # type: ignore[arg-type]
        distributions={p.name: distribution(p) for p in spec.parameters},
    )
    status = _part(obj, "status")
    made.datetime_start = _time(status.get("startTime"))
    made.datetime_complete = _time(status.get("completionTime")) or made.datetime_start
    return made


def _state(obj: Mapping[str, Any]) -> TrialState | None:
    conditions = _items(_part(obj, "status").get("conditions"))
    true = {condition.get("type") for condition in conditions if condition.get("status") == "True"}
    return next((state for name, state in _STATES.items() if name in true), None)


def _value(spec: Experiment, obj: Mapping[str, Any]) -> float | None:
    """The objective's, by its strategy; Katib's metrics are texts, and may say nothing."""
    metric = spec.objectives[0].metric
    for found in _items(_part(obj, "status", "observation").get("metrics")):
        if found.get("name") == metric:
            number = quantities.number(found.get(spec.strategy(metric)))
            return None if number is None else float(number)
    return None


def _time(text: Any) -> datetime | None:
    """Optuna's times are local and without a zone."""
    with suppress(ValueError, TypeError, OverflowError):
        return datetime.fromtimestamp(datetime.fromisoformat(text).timestamp())
    return None
