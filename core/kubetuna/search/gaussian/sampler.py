"""The sampler: random points until enough trials have a value, then the point that promises most.

It keeps nothing between proposals: each is a function of the study's trials and of the seed, so it is the same
after any restart and on every runner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial

from kubetuna.search.gaussian.ascent import most_promising
from kubetuna.search.gaussian.encoding import Array, Encoding
from kubetuna.search.gaussian.history import History, completed, history_of, one_value
from kubetuna.search.gaussian.improvement import Promise
from kubetuna.search.gaussian.process import Process, fitted
from kubetuna.search.gaussian.threads import one_thread
from kubetuna.search.gaussian.warp import Warped, warps

# Points around which a better one is looked for.
GOOD = 5


class GaussianProcessSampler(BaseSampler):
    """Expected improvement over a Gaussian process, of spaces with numbers and choices of any kind.

    Args:
        seed: what its draws follow from.
        n_startup_trials: trials with a value before the process is asked.
        deterministic_objective: the same parameters always give the same value.
    """

    def __init__(
        self, *, seed: int | None = None, n_startup_trials: int = 10, deterministic_objective: bool = False
    ) -> None:
        self._seed = seed
        self._random = RandomSampler(seed=seed)
        self._startup = max(n_startup_trials, 1)
        self._exact = deterministic_objective

    def reseed_rng(self) -> None:
        """Take another seed, as Optuna asks of a sampler that is copied to another thread."""
        self._seed = None
        self._random.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that all trials have; the runner gives all those that exist in every trial."""
        found = intersection_search_space(study.get_trials(deepcopy=False))
        return {name: distribution for name, distribution in found.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal; empty where it is left to chance."""
        space = {name: distribution for name, distribution in search_space.items() if not distribution.single()}
        if not space or completed(study) < self._startup:
            return {}
        encoding = Encoding(space)
        history = history_of(study, trial, encoding)
        if not len(history.points):
            return {}
        with one_thread():
            point = self._point(encoding, history, np.random.default_rng(self._seed))
        return {} if point is None else encoding.params(point)

    def _point(self, encoding: Encoding, history: History, rng: np.random.Generator) -> Array | None:
        values = one_value(history, rng.dirichlet(np.ones(history.values.shape[1])))
        _, objective = explained(encoding, history.points, values, history.pending, self._exact)
        allowed = self._allowed(encoding, history)
        expected = objective.posterior(history.points)[0]
        feasible = history.feasible if history.feasible.any() else np.ones(len(expected), dtype=bool)
        order = np.argsort(np.where(feasible, np.round(expected, 6), np.inf), kind="stable")
        best = float(expected[order[0]]) if history.feasible.any() else None
        taken = {p.tobytes() for p in (*history.points, *history.judged, *history.pending)}
        promise, good = Promise(objective, best, allowed), history.points[order[:GOOD]]
        return most_promising(promise, encoding, good, lambda p: p.tobytes() in taken, rng)

    def _allowed(self, encoding: Encoding, history: History) -> Process | None:
        if not len(history.judged):
            return None
        kernel, _ = fitted(history.judged, history.violations, encoding.choices, self._exact)
        return Process(kernel, history.judged, history.violations, history.pending)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def explained(
    encoding: Encoding, points: Array, values: Array, pending: Array, exact: bool = False
) -> tuple[Warped, Process]:
    """A process of values as they are or bent, whichever are explained better, and those values."""
    fits = [(w, *fitted(points, w.values, encoding.choices, exact)) for w in warps(values)]
    chosen, kernel, _ = max(fits, key=lambda one: round(one[2] + one[0].stretch, 2))
    return chosen, Process(kernel, points, chosen.values, pending)
