"""Proposing parameters with Optuna's samplers, the same ones however often a process restarts.

Each proposal draws from a generator seeded by (seed, trial number, redraw), for one seed reused after a restart
would propose the same start-up points again. Grids and quasi-random sequences are instead a function of the
experiment's seed and go on by the trial's ordinal. The samplers are driven as Optuna's own ``Trial`` drives
them, but a proposal is only written once it satisfies the constraints and is at no point that was tried before:
the same run again teaches nothing that ``repeats`` would not, and samplers come back to their best points often.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from kubetuna.errors import EveryPointTried, SearchExhausted
from kubetuna.experiment.automatic import sampler_of
from kubetuna.experiment.model import Experiment, Parameter, Value
from kubetuna.experiment.steps import upper_bound, written
from kubetuna.search.catalogue import SAMPLERS
from kubetuna.search.gaussian.sampler import GaussianProcessSampler
from kubetuna.search.grid import Grid
from kubetuna.search.optuna_internals import PlacedSequence, contains, forget_history, seen_by
from kubetuna.search.space import (
    EFFORT_LIMIT,
    GRID_LIMIT,
    UNIT,
    bell,
    effort,
    exists,
    identity,
    iterate,
    ordered,
    restored,
    satisfies,
    space_of,
    stored,
)

REDRAWS = 20
UNIFORM_REDRAWS = 980
# How often the sampler may come back to points that were tried before another one is drawn.
REPEATS = 5
GRIDS = ("grid", "bruteforce")
# Far apart in the sequence, so that a redraw never meets another trial's point.
QMC_STRIDE = 2**16


class Proposer:
    """Proposes an experiment's points. ``seed`` is the experiment's."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self._spec, self._seed = experiment, seed
        self._parameters = ordered(experiment)
        self._space = space_of(experiment)
        self._name = experiment.algorithm.name
        self._grid = Grid(experiment, seed) if self._name in GRIDS else None

    def exhausted(self, ordinal: int) -> bool:
        """Whether there is no point for the experiment's ``ordinal``-th trial."""
        return self._grid is not None and ordinal >= len(self._grid) + self._points_first

    @property
    def _points_first(self) -> int:
        return len(self._spec.warm_start)

    def propose(
        self, study: optuna.Study, trial: FrozenTrial, ordinal: int, tried: Collection[str] = ()
    ) -> dict[str, Value]:
        """Parameters for a trial that exists and has none yet, at none of the points that were ``tried``.

        Raises:
            EveryPointTried: there is no further point.
            SearchExhausted: a thousand proposals in a row violated a constraint.
        """
        # Without ``ask``, samplers would see the history of the first draw.
        forget_history(study)
        fixed = self._spec.warm_start[ordinal] if ordinal < self._points_first else {}
        found = self._drawn(study, trial, ordinal, fixed, tried) if fixed else None
        if found is None and self._grid is None:
            found = self._drawn(study, trial, ordinal, {}, tried)
        return found or self._untried(trial, tried)

    def complete(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        ordinal: int,
        fixed: Mapping[str, Value],
        tried: Collection[str],
    ) -> dict[str, Value]:
        """Such parameters with these ``fixed``.

        Raises:
            SearchExhausted: none of them will do.
        """
        forget_history(study)
        found = self._drawn(study, trial, ordinal, fixed, tried)
        if found is None:
            raise SearchExhausted("no untried point with these values satisfies the constraints")
        return found

    def _drawn(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        ordinal: int,
        fixed: Mapping[str, Value],
        tried: Collection[str],
    ) -> dict[str, Value] | None:
        """The first good proposal: of the sampler, and where it insists on bad ones, of a uniform draw."""
        repeated = 0
        for redraw in range(REDRAWS + 1 + UNIFORM_REDRAWS):
            # A sampler that comes back to a point is sure of it; to fit it again and again takes long.
            if redraw <= REDRAWS and repeated <= REPEATS:
                values = self._draw(study, trial, ordinal, redraw, fixed)
            else:
                values = self._uniform(study, trial, redraw, fixed)
            known = self._is_tried(values, tried)
            if not known and satisfies(self._spec, values) is None:
                return values
            repeated += known
            if fixed.keys() >= values.keys():
                return None
        return None

    def _is_tried(self, values: Mapping[str, Value], tried: Collection[str]) -> bool:
        return bool(tried) and identity(self._parameters, values) in tried

    def _untried(self, trial: FrozenTrial, tried: Collection[str]) -> dict[str, Value]:
        """A point that was not tried, by going through all of them: a grid's next one, else any."""
        points = self._all_points()
        left = (point for point in points or () if not self._is_tried(point, tried))
        chosen = next(left, None) if self._grid is not None else _any_of(left, self._stream(trial.number, -1))
        if chosen is not None:
            return chosen
        limits = [repr(c.text) for c in self._spec.constraints if c.over == "parameters"]
        if not limits or (tried and points is not None):
            raise EveryPointTried("every point was tried")
        raise SearchExhausted(
            f"spec.constraints: {' and '.join(limits)} was violated by {REDRAWS + UNIFORM_REDRAWS} proposals "
            "in a row; widen the search space or loosen the constraint"
        )

    def _all_points(self) -> Iterable[dict[str, Value]] | None:
        """Every point; None where there are too many to go through."""
        if self._grid is not None:
            return self._grid
        bound = upper_bound(self._spec)
        few = bound is not None and bound <= GRID_LIMIT and effort(self._spec) <= EFFORT_LIMIT
        return iterate(self._spec) if few else None

    def _draw(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        ordinal: int,
        redraw: int,
        fixed: Mapping[str, Value],
    ) -> dict[str, Value]:
        sampler = self._sampler(trial.number, ordinal, redraw)
        view = seen_by(study, trial)
        # A new filtered view each time would recompute it, so the sampler gets one view for the whole draw.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if redraw == 0:
                sampler.before_trial(view, trial)
            space = self._relative_space(sampler, view, trial)
            relative = sampler.sample_relative(view, trial, space)
            return self._assemble(sampler, view, trial, relative, fixed)

    def _relative_space(
        self, sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if isinstance(sampler, PlacedSequence):
            return {name: d for name, d in self._space.items() if not d.single()}
        if isinstance(sampler, GaussianProcessSampler):
            always = [p.name for p in self._parameters if p.when is None]
            return {name: self._space[name] for name in always if not self._space[name].single()}
        return sampler.infer_relative_search_space(study, trial)

    def _assemble(
        self,
        sampler: BaseSampler,
        study: optuna.Study,
        trial: FrozenTrial,
        relative: Mapping[str, Any],
        fixed: Mapping[str, Value],
    ) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for parameter in self._parameters:
            if not exists(parameter, values):
                continue
            values[parameter.name] = self._value(sampler, study, trial, parameter, relative, fixed)
        return values

    def _value(
        self,
        sampler: BaseSampler,
        study: optuna.Study,
        trial: FrozenTrial,
        parameter: Parameter,
        relative: Mapping[str, Any],
        fixed: Mapping[str, Value],
    ) -> Any:
        name, dist = parameter.name, self._space[parameter.name]
        if name in fixed:
            value: Any = stored(fixed[name])
        elif dist.single():
            value = dist.to_external_repr(_only_value(dist))
        elif parameter.normal and self._name == "random":
            value = bell(parameter, sampler.sample_independent(study, trial, name, UNIT))
        elif name in relative and contains(dist, relative[name]):
            value = relative[name]
        else:
            value = sampler.sample_independent(study, trial, name, dist)
        return written(parameter, restored(dist.to_external_repr(dist.to_internal_repr(value))))

    def _uniform(
        self, study: optuna.Study, trial: FrozenTrial, redraw: int, fixed: Mapping[str, Value]
    ) -> dict[str, Value]:
        sampler = RandomSampler(seed=self._stream(trial.number, redraw))
        return self._assemble(sampler, study, trial, {}, fixed)

    def _stream(self, number: int, redraw: int) -> int:
        digest = hashlib.sha256(f"{self._seed}:{number}:{redraw}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def _sampler(self, number: int, ordinal: int, redraw: int) -> BaseSampler:
        settings: dict[str, Any] = dict(self._spec.algorithm.settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._name == "qmc":
                sequence = PlacedSequence(seed=self._seed, warn_independent_sampling=False, **settings)
                sequence.place = ordinal + redraw * QMC_STRIDE
                return sequence
            return self._build(sampler_of(self._spec, number), settings, self._stream(number, redraw))

    def _build(self, name: str, settings: dict[str, Any], seed: int) -> BaseSampler:
        if name in GRIDS:
            return RandomSampler(seed=seed)
        if name in ("tpe", "cmaes"):
            settings["warn_independent_sampling"] = False
        if name == "tpe" and any(p.when is not None for p in self._parameters):
            # Without groups one conditional trial poisons the joint model of all the others.
            settings.setdefault("multivariate", True)
            settings.setdefault("group", settings["multivariate"])
        sampler: BaseSampler = SAMPLERS[name].target(seed=seed, **settings)
        return sampler

    def told(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """What the sampler wants to do once a trial ended, before its state is set, as Optuna's tell does."""
        if self._name in GRIDS:
            return
        sampler = self._sampler(trial.number, trial.number, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler.after_trial(seen_by(study, trial), trial, state, values)


def _any_of(points: Iterable[dict[str, Value]], seed: int) -> dict[str, Value] | None:
    """One of them, each as likely, without holding them all; None of none."""
    chosen, draw = None, random.Random(seed)
    for count, point in enumerate(points, 1):
        if draw.random() * count < 1:
            chosen = point
    return chosen


def _only_value(dist: BaseDistribution) -> float:
    return 0.0 if isinstance(dist, optuna.distributions.CategoricalDistribution) else float(dist.low)  # type: ignore[attr-defined]
