"""What a new study takes from earlier ones: their best points to try first, or their trials as knowledge.

Spaces may have changed since. A point keeps what still fits and leaves the rest to the sampler; a trial teaches
only where all of it fits. What was left out is said. It is decided once, when the study is made, and kept with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Engine

from kubetuna.errors import StudyMismatch, StudyNotFound
from kubetuna.experiment.model import EarlierStudy, Experiment, Value
from kubetuna.parsing.warm_start import OUTSIDE, point_value
from kubetuna.search.space import distribution, stored
from kubetuna.store.database import place
from kubetuna.store.reader import newest_study, read_study
from kubetuna.study.edited_space import fitting
from kubetuna.study.record import StudyRecord, study_record, value_in
from kubetuna.trials.progress import eligible
from kubetuna.trials.records import TrialRecord

NOTE_LIMIT = 20


@dataclass(slots=True)
class Earlier:
    """Points to try first, trials to learn from, and what of either did not fit."""

    points: list[dict[str, Value]] = field(default_factory=list)
    trials: list[FrozenTrial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something, within bounds."""
        if len(self.notes) < NOTE_LIMIT:
            self.notes.append(text)


def take_over(engine: Engine, spec: Experiment, study_name: str) -> Earlier:
    """What the studies named in the spec have to give to the one of ``study_name``.

    Raises:
        StudyMismatch: one of them does not exist in the store, or goes the other way.
    """
    found = Earlier()
    for index, wanted in enumerate(spec.warm_start_studies):
        seen = _read(engine, wanted, f"spec.warmStart.studies[{index}]", spec, study_name)
        ranked = _ranked(seen, spec)
        if not ranked:
            found.note(f"{wanted.study}: no completed trial has {spec.objectives[0].metric}; nothing is taken over")
        for trial, _ in ranked[: wanted.points]:
            point = _point(spec, trial, wanted.study, found)
            if point and point not in found.points:
                found.points.append(point)
        if wanted.trials and spec.multi_objective:
            found.note(f"{wanted.study}: with several objectives no trials are learned from")
        elif wanted.trials:
            _learn(spec, ranked, wanted.study, found)
    return found


def _read(engine: Engine, wanted: EarlierStudy, path: str, spec: Experiment, study_name: str) -> StudyRecord:
    try:
        name = _reachable(engine, wanted.study, study_name)
        seen = study_record(read_study(engine, name), place(engine.url))
    except StudyNotFound as error:
        raise StudyMismatch(f"{path}: {error}", f"{path}: {error.public}") from error
    metric, direction = spec.objectives[0].metric, spec.objectives[0].direction
    if any(o.metric == metric and o.direction != direction for o in seen.spec.objectives):
        raise StudyMismatch(f"{path}: study {wanted.study!r} does not {direction} {metric}")
    return seen


def _reachable(engine: Engine, wanted: str, study_name: str) -> str:
    """The name in the store of a study to start from.

    A cluster's study is called NAMESPACE/NAME/UID and reaches those of its own namespace only: tenants share a
    store, and of another's study not even its existence is said.

    Raises:
        StudyNotFound: there is none within reach.
    """
    namespace, shared, _ = study_name.partition("/")
    if not shared:
        return wanted
    found = newest_study(engine, f"{namespace}/{wanted.removeprefix(f'{namespace}/')}")
    if found is None:
        text = f"no study {wanted!r} in namespace {namespace!r}; name an Experiment of this namespace"
        raise StudyNotFound(text, text)
    return found


def _ranked(seen: StudyRecord, spec: Experiment) -> list[tuple[TrialRecord, float]]:
    """The trials with a value of the new objective, best first."""
    objective = spec.objectives[0]
    values = [(t, value_in(seen, t, objective.metric)) for t in filter(eligible, seen.trials)]
    scored = [(t, v) for t, v in values if v is not None]
    return sorted(scored, key=lambda pair: (objective.sign * pair[1], pair[0].number))


def _point(spec: Experiment, trial: TrialRecord, study: str, found: Earlier) -> dict[str, Value]:
    known = {p.name: p for p in spec.parameters}
    point: dict[str, Value] = {}
    for name, raw in trial.params.items():
        value = point_value(known[name], raw) if name in known else OUTSIDE
        if value is OUTSIDE:
            found.note(f"{study}, trial {trial.number}: {name} = {raw} is left out, {_why(name in known)}")
        else:
            point[name] = value
    return point


def _why(known: bool) -> str:
    return "it lies outside the new space" if known else "the new space has no such parameter"


def _learn(spec: Experiment, ranked: Sequence[tuple[TrialRecord, float]], study: str, found: Earlier) -> None:
    """Take over the trials that fit the new space whole: a part of one would blur the model of all."""
    left = 0
    for trial, value in ranked:
        params = fitting(spec, trial.params)
        if params is None:
            left += 1
            continue
        space = {p.name: distribution(p) for p in spec.parameters if p.name in params}
        found.trials.append(
            create_trial(
                state=TrialState.COMPLETE,
                value=value,
                params={n: stored(v) for n, v in params.items()},
                distributions=space,
            )
        )
    if left:
        found.note(f"{study}: {left} of {len(ranked)} trials do not fit the new space and are not learned from")
