"""Proposing parameters with Optuna's samplers, the same ones however often a process restarts.

Each proposal draws from a generator seeded by (seed, trial number, redraw), for one seed reused after a restart
would propose the same start-up points again. Grids and quasi-random sequences are instead a function of the
experiment's seed and go on by the trial's ordinal. The samplers are driven as Optuna's own ``Trial`` drives
them, but a proposal is only written once it satisfies the constraints.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from kubetuna.errors import SearchExhausted
from kubetuna.experiment.model import Experiment, Parameter, Scalar
from kubetuna.experiment.steps import written
from kubetuna.search.catalogue import SAMPLERS
from kubetuna.search.optuna_internals import PlacedSequence, contains, forget_history, seen_by
from kubetuna.search.space import distribution, exists, grid_points, ordered, satisfies

REDRAWS = 20
UNIFORM_REDRAWS = 980
GRIDS = ("grid", "bruteforce")
# Far apart in the sequence, so that a redraw never meets another trial's point.
QMC_STRIDE = 2**16


class Proposer:
    """Proposes an experiment's points. ``seed`` is the experiment's."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self._spec, self._seed = experiment, seed
        self._parameters = ordered(experiment)
        self._space = {p.name: distribution(p) for p in self._parameters}
        self._name = experiment.algorithm.name
        self._grid = self._shuffled_grid() if self._name in GRIDS else None

    def _shuffled_grid(self) -> list[dict[str, Scalar]]:
        points = grid_points(self._spec)
        random.Random(self._seed).shuffle(points)
        return points

    def exhausted(self, ordinal: int) -> bool:
        """Whether there is no point for the experiment's ``ordinal``-th trial."""
        return self._grid is not None and ordinal >= len(self._grid) + self._points_first

    @property
    def _points_first(self) -> int:
        return len(self._spec.warm_start)

    def propose(self, study: optuna.Study, trial: FrozenTrial, ordinal: int) -> dict[str, Scalar]:
        """Parameters for a trial that exists and has none yet.

        Raises:
            SearchExhausted: a thousand proposals all violated a constraint, or a grid is at its end.
        """
        # Without ``ask``, samplers would see the history of the first draw.
        forget_history(study)
        fixed = self._spec.warm_start[ordinal] if ordinal < self._points_first else {}
        if self._grid is not None and not fixed:
            return self._from_grid(ordinal - self._points_first)
        violated: str | None = None
        for redraw in range(REDRAWS + 1):
            values = self._draw(study, trial, ordinal, redraw, fixed)
            violated = satisfies(self._spec, values)
            if violated is None:
                return values
        for redraw in range(UNIFORM_REDRAWS):
            values = self._uniform(study, trial, redraw, fixed)
            violated = satisfies(self._spec, values)
            if violated is None:
                return values
        raise SearchExhausted(
            f"spec.constraints: {violated!r} was violated by {REDRAWS + UNIFORM_REDRAWS} proposals in a row; "
            "widen the search space or loosen the constraint"
        )

    def _from_grid(self, index: int) -> dict[str, Scalar]:
        assert self._grid is not None
        if index >= len(self._grid):
            raise SearchExhausted(f"the grid of {len(self._grid)} points is at its end")
        return self._grid[index]

    def _draw(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        ordinal: int,
        redraw: int,
        fixed: Mapping[str, Scalar],
    ) -> dict[str, Scalar]:
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
        return sampler.infer_relative_search_space(study, trial)

    def _assemble(
        self,
        sampler: BaseSampler,
        study: optuna.Study,
        trial: FrozenTrial,
        relative: Mapping[str, Any],
        fixed: Mapping[str, Scalar],
    ) -> dict[str, Scalar]:
        values: dict[str, Scalar] = {}
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
        fixed: Mapping[str, Scalar],
    ) -> Any:
        name, dist = parameter.name, self._space[parameter.name]
        if name in fixed:
            value: Any = fixed[name]
        elif dist.single():
            value = dist.to_external_repr(_only_value(dist))
        elif name in relative and contains(dist, relative[name]):
            value = relative[name]
        else:
            value = sampler.sample_independent(study, trial, name, dist)
        return written(parameter, dist.to_external_repr(dist.to_internal_repr(value)))

    def _uniform(
        self, study: optuna.Study, trial: FrozenTrial, redraw: int, fixed: Mapping[str, Scalar]
    ) -> dict[str, Scalar]:
        sampler = RandomSampler(seed=self._stream(trial.number, REDRAWS + 1 + redraw))
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
            return self._build(settings, self._stream(number, redraw))

    def _build(self, settings: dict[str, Any], seed: int) -> BaseSampler:
        if self._name in GRIDS:
            return RandomSampler(seed=seed)
        if self._name in ("tpe", "gp", "cmaes"):
            settings["warn_independent_sampling"] = False
        if self._name == "tpe" and any(p.when is not None for p in self._parameters):
            # Without groups one conditional trial poisons the joint model of all the others.
            settings.setdefault("multivariate", True)
            settings.setdefault("group", settings["multivariate"])
        sampler: BaseSampler = SAMPLERS[self._name].target(seed=seed, **settings)
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


def _only_value(dist: BaseDistribution) -> float:
    return 0.0 if isinstance(dist, optuna.distributions.CategoricalDistribution) else float(dist.low)  # type: ignore[attr-defined]
