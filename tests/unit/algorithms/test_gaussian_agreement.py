"""Our Gaussian process and Optuna's, written apart from each other: the same numbers, and as good a search."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

import numpy as np
import optuna
import pytest
import torch
from optuna._gp.acqf import logei
from optuna._gp.gp import GPRegressor
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler

from kubetuna.search.gaussian.encoding import Encoding
from kubetuna.search.gaussian.improvement import Promise
from kubetuna.search.gaussian.process import Process, fitted
from kubetuna.search.gaussian.sampler import GaussianProcessSampler
from kubetuna.search.gaussian.threads import one_thread

UNIT = FloatDistribution(0, 1)


@pytest.mark.parametrize("pending", [0, 3])
def test_expectation_deviation_and_promise_are_those_of_optunas_process(pending: int) -> None:
    space = {"x": UNIT, "y": UNIT, "kind": CategoricalDistribution(["a", "b", "c"])}
    encoding, rng = Encoding(space), np.random.default_rng(0)
    points, under_way, asked = (encoding.drawn(rng, n) for n in (25, pending, 40))
    values = np.sin(6 * points[:, 0]) + points[:, 1] ** 2 + 0.5 * (points[:, 2] == 1)
    kernel, _ = fitted(points, values, encoding.choices, False)
    ours = Process(kernel, points, values, under_way)

    # Theirs maximises.
    theirs = GPRegressor(
        torch.tensor([False, False, True]),
        torch.tensor(points),
        torch.tensor(-values),
        torch.tensor(kernel.weights),
        torch.tensor(kernel.height),
        torch.tensor(kernel.noise),
    )
    theirs._cache_matrix()
    if pending:
        theirs.append_running_data(torch.tensor(under_way), theirs.posterior(torch.tensor(under_way))[0])
    mean, variance = theirs.posterior(torch.tensor(asked))
    expected, deviation = ours.posterior(asked)
    assert np.allclose(expected, -mean.numpy(), atol=1e-6)
    assert np.allclose(deviation, variance.sqrt().numpy(), atol=1e-5)

    best = float(values.min())
    promised = logei(mean=mean, var=variance + 1e-12, f0=-best)
    assert np.allclose(Promise(ours, best).of(asked), promised.numpy(), rtol=1e-4, atol=1e-3)


def bowl(p: Mapping[str, float]) -> float:
    return (p["a"] - 0.3) ** 2 + 2 * (p["b"] - 0.6) ** 2 + (p["a"] - p["c"]) ** 2


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "ours": lambda seed: GaussianProcessSampler(seed=seed, n_startup_trials=8),
    "theirs": lambda seed: GPSampler(seed=seed, n_startup_trials=8),
    "chance": lambda seed: RandomSampler(seed=seed),
}


def best(name: str, seed: int) -> float:
    """The best of 24 trials: eight at random, the same for all, and then the sampler's."""
    space: dict[str, BaseDistribution] = dict.fromkeys("abc", UNIT)
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    for number in range(24):
        if number >= 8:
            # Ours keeps nothing between proposals, and is made anew for each, as it is in an experiment.
            study.sampler = SAMPLERS[name](100 * seed + number) if number == 8 or name == "ours" else study.sampler
        trial = study.ask(space)
        study.tell(trial, bowl(trial.params))
    # Values reach up to 3: nearer than a thousandth is the bottom.
    return max(study.best_value, 2e-3)


def test_it_finds_as_good_a_point_as_optunas_of_a_smooth_function() -> None:
    torch.set_num_threads(1)
    with one_thread():
        mean = {name: statistics.mean(math.log(best(name, seed)) for seed in range(2)) for name in SAMPLERS}
    assert abs(mean["ours"] - mean["theirs"]) < math.log(1.5)
    assert max(mean["ours"], mean["theirs"]) - mean["chance"] < math.log(1 / 5)
