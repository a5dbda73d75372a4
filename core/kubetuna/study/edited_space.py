"""A search space that was edited, as samplers see it.

Each trial keeps the distributions that it was drawn from: that is the record of what was searched when. To Optuna a
parameter with two distributions is none that trials share, and a choice that a distribution does not have is an
error. So samplers see the trials that lie in the space as it is now, in its terms, and not the others.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from kubetuna.experiment.model import Experiment, Value
from kubetuna.experiment.units import count
from kubetuna.parsing.warm_start import OUTSIDE, point_value
from kubetuna.search.space import exists, ordered, point_of, space_of
from kubetuna.trials.records import TrialRecord


def edited(trials: Iterable[FrozenTrial], space: Mapping[str, BaseDistribution]) -> bool:
    """Whether some trial was drawn from another space."""
    return any(space.get(n) != d for trial in trials for n, d in trial.distributions.items())


class PresentSpace:
    """A storage whose trials are those that lie in the space as it is now; all else is the real storage's."""

    def __init__(self, real: BaseStorage, spec: Experiment) -> None:
        self._real, self._spec, self._space = real, spec, space_of(spec)
        # Of each number the trial that was looked at last, and what it is in the present terms.
        self._seen: dict[int, tuple[FrozenTrial, FrozenTrial | None]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As Optuna's storages do."""
        found = map(self._present, self._real.get_all_trials(study_id, deepcopy=False, states=states))
        trials = [trial for trial in found if trial is not None]
        return copy.deepcopy(trials) if deepcopy else trials

    def _present(self, trial: FrozenTrial) -> FrozenTrial | None:
        known = self._seen.get(trial.number)
        if known is None or known[0] is not trial:
            self._seen[trial.number] = known = (trial, self._translated(trial))
        return known[1]

    def _translated(self, trial: FrozenTrial) -> FrozenTrial | None:
        # A trial without parameters is the one that is being asked for.
        if not trial.params or not edited([trial], self._space):
            return trial
        if fitting(self._spec, point_of(trial)) is None:
            return None
        seen = copy.copy(trial)
        seen.distributions = {name: self._space[name] for name in trial.params}
        return seen


def fitting(spec: Experiment, params: Mapping[str, Any]) -> dict[str, Value] | None:
    """The parameters in the space's terms; None where one is missing, too many, or outside."""
    values: dict[str, Value] = {}
    for parameter in ordered(spec):
        if not exists(parameter, values):
            continue
        value = point_value(parameter, params[parameter.name]) if parameter.name in params else OUTSIDE
        if value is OUTSIDE:
            return None
        values[parameter.name] = value
    return values if values.keys() == params.keys() else None


def edit_note(spec: Experiment, trials: Iterable[TrialRecord]) -> str:
    """What a person should know of trials that were drawn before an edit; empty where there are none."""
    own = [trial for trial in trials if trial.own]
    earlier = [trial for trial in own if trial.space]
    outside = sum(1 for trial in earlier if fitting(spec, trial.params) is None)
    lost = f"; {outside} of them lie outside it now, so the sampler does not learn from them" if outside else ""
    drawn = f"{len(earlier)} of {count(len(own), 'trial')} were drawn from another search space than that of today"
    return f"{drawn}{lost}" if earlier else ""


def within(spec: Experiment, points: Sequence[Mapping[str, Value]]) -> list[dict[str, Value]]:
    """Points without what lies outside the space by now; they keep their places."""
    known = {p.name: p for p in spec.parameters}
    return [{n: v for n, v in p.items() if n in known and point_value(known[n], v) is not OUTSIDE} for p in points]
