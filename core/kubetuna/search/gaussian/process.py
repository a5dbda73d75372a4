"""The Gaussian process: a Matérn 5/2 kernel with a length for each parameter, fitted to what was seen.

Numbers are apart by their distance, choices by being others. Lengths, height and noise are those of highest
posterior density, found from the same starts each time and rounded, so that a fit is a function of what was seen
and of nothing else: a restart, or the next proposal from the same trials, finds the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from kubetuna.search.gaussian.encoding import Array

# Of the noise's variance, beside values of variance 1.
LEAST_NOISE = 1e-6
# Of the logarithms of what is fitted: decimals kept.
DECIMALS = 2
STEPS = 40
# With few trials two explanations are weighed against each other: smooth, or noisy.
FEW = 100
_START_NOISE = (1e-3, 0.2)
# Priors: normal of the logarithms of lengths, about 0.4 of the cube's diagonal, and of the height, about 1; gamma
# of the noise, which is low unless there is reason to think otherwise.
_LENGTH = 0.4
_WEIGHT_DEVIATION, _HEIGHT_DEVIATION = 1.5, 1.0
_NOISE_SHAPE, _NOISE_RATE = 0.1, 15.0
_FAILED = 1e25


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is fitted: a weight for each axis (one over its length, squared), the height and the noise."""

    weights: Array
    height: float
    noise: float
    choices: tuple[int, ...]

    def features(self, points: Array) -> Array:
        """Columns whose plain distance is the weighted one."""
        columns = []
        for index, count in enumerate(self.choices):
            column, weight = points[:, index], self.weights[index]
            if count:
                alike = column[:, None] == np.arange(count)
                columns.append(alike * np.sqrt(weight / 2))
            else:
                columns.append(column[:, None] * np.sqrt(weight))
        return np.concatenate(columns, axis=1)

    def between(self, one: Array, other: Array) -> Array:
        """Covariances of the features of two sets of points."""
        squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
        return self.height * matern(np.maximum(squares, 0.0))


def matern(squares: Array) -> Array:
    """Correlation by squared distance."""
    roots = np.sqrt(5 * squares)
    return np.asarray((1 + roots + 5 / 3 * squares) * np.exp(-roots))


def slope(squares: Array) -> Array:
    """Its derivative by the squared distance."""
    roots = np.sqrt(5 * squares)
    return np.asarray(-5 / 6 * (1 + roots) * np.exp(-roots))


class Process:
    """What is believed of every point after some values were seen, and further points are known to be under way.

    For a point under way its own expectation is taken to come out: this changes no expectation, and makes what
    lies around it less uncertain.
    """

    def __init__(self, kernel: Kernel, points: Array, values: Array, pending: Array) -> None:
        self.kernel, self.points = kernel, np.concatenate([points, pending])
        self._features = kernel.features(self.points)
        covariance = kernel.between(self._features, self._features)
        covariance[np.diag_indices_from(covariance)] += kernel.noise
        seen = len(points)
        self._explained = np.zeros(len(self.points))
        self._explained[:seen] = _inverse(covariance[:seen, :seen]) @ values
        self._inverse = _inverse(covariance)

    def posterior(self, points: Array) -> tuple[Array, Array]:
        """Expectation and standard deviation of the noiseless value at each point."""
        covariance = self.kernel.between(self.kernel.features(points), self._features)
        variance = self.kernel.height - ((covariance @ self._inverse) * covariance).sum(axis=1)
        return covariance @ self._explained, np.sqrt(np.maximum(variance, 1e-12))

    def together(self, points: Array) -> tuple[Array, Array]:
        """Expectations of the noiseless values at some points, and their covariances."""
        features = self.kernel.features(points)
        covariance = self.kernel.between(features, self._features)
        own = self.kernel.between(features, features)
        return covariance @ self._explained, own - covariance @ self._inverse @ covariance.T

    def slopes(self, point: Array, along: Any) -> tuple[float, float, Array, Array]:
        """Expectation and deviation at one point, and how each changes along some numeric axes."""
        apart = self.kernel.features(point[None, :]) - self._features
        squares = (apart**2).sum(axis=1)
        covariance = self.kernel.height * matern(squares)
        change = (self.kernel.height * slope(squares))[:, None] * (
            2 * self.kernel.weights[along] * (point[along] - self.points[:, along])
        )
        solved = self._inverse @ covariance
        deviation = np.sqrt(max(self.kernel.height - float(covariance @ solved), 1e-12))
        return (
            float(covariance @ self._explained),
            float(deviation),
            self._explained @ change,
            -(solved @ change) / deviation,
        )


def _inverse(covariance: Array) -> Array:
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(covariance, lower=True, check_finite=False)
    return np.asarray(cho_solve(factor, np.eye(len(covariance)), check_finite=False))


def fitted(points: Array, values: Array, choices: tuple[int, ...], exact: bool) -> tuple[Kernel, float]:
    """The kernel that explains the values best, and how well; ``exact`` where there is no noise."""
    *weights, height, noise, evidence = _fitted(points.tobytes(), values.tobytes(), choices, exact)
    return Kernel(np.array(weights), height, noise, choices), evidence


# A place that frees, and a proposal that is drawn again, find the same trials: they are fitted once.
@lru_cache(maxsize=16)
def _fitted(points: bytes, values: bytes, choices: tuple[int, ...], exact: bool) -> tuple[float, ...]:
    from scipy.optimize import minimize

    seen = np.frombuffer(points).reshape(-1, len(choices))
    surface = _Evidence(seen, np.frombuffer(values), choices, exact)
    starts = _START_NOISE if len(seen) <= FEW and not exact else _START_NOISE[:1]
    found = [
        minimize(
            surface, surface.start(noise), jac=True, method="L-BFGS-B",
            bounds=surface.bounds, options={"maxiter": STEPS, "ftol": 1e-6, "gtol": 1e-3},
        )
        for noise in starts
    ]  # fmt: skip
    # Of two that are as good the first, whatever the last digits say.
    best = min(found, key=lambda one: round(float(one.fun), 3))
    return (*np.exp(np.round(best.x, DECIMALS)).tolist(), -round(float(best.fun), 3))


class _Evidence:
    """Minus the logarithm of the posterior density of a kernel, and its gradient, by the logarithms of its numbers.

    Everything symmetric is computed for one half: pairs of points, the later first.
    """

    def __init__(self, points: Array, values: Array, choices: tuple[int, ...], exact: bool) -> None:
        self._values = values
        self._rows, self._columns = np.tril_indices(len(points), -1)
        apart = points[self._rows] - points[self._columns]
        squares = np.where(np.array(choices) > 0, apart != 0, apart**2)
        self._squares = np.ascontiguousarray(squares.T, dtype=float)
        count = len(choices)
        self._mean = np.array([-np.log(_LENGTH**2 * count)] * count + [0.0])
        self._deviation = np.array([_WEIGHT_DEVIATION] * count + [_HEIGHT_DEVIATION])
        noise = (np.log(LEAST_NOISE), np.log(LEAST_NOISE) if exact else 0.0)
        self.bounds = [(-9.0, 7.0)] * count + [(-4.0, 4.0), noise]

    def start(self, noise: float) -> Array:
        """Where to begin the search, with this noise."""
        return np.append(self._mean, np.clip(np.log(noise), *self.bounds[-1]))

    def __call__(self, theta: Array) -> tuple[float, Array]:
        from scipy.linalg import lapack

        weights, height, noise = np.exp(theta[:-2]), np.exp(theta[-2]), np.exp(theta[-1])
        squares = weights @ self._squares
        covariance = height * matern(squares)
        matrix = np.zeros((len(self._values),) * 2, order="F")
        matrix[self._rows, self._columns] = covariance
        np.fill_diagonal(matrix, height + noise)
        factor, failed = lapack.dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
        if failed:
            return _FAILED, np.zeros(len(theta))
        explained, _ = lapack.dpotrs(factor, self._values, lower=1)
        misfit = 0.5 * float(self._values @ explained) + float(np.log(np.diag(factor)).sum())
        inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
        pull = inverse[self._rows, self._columns] - explained[self._rows] * explained[self._columns]
        trace = 0.5 * float((np.diag(inverse) - explained**2).sum())
        by_weight = weights * (self._squares @ (pull * height * slope(squares)))
        by_height = float(pull @ covariance) + trace * height
        aside = (theta[:-1] - self._mean) / self._deviation
        prior = 0.5 * float(aside @ aside) + _NOISE_RATE * noise - _NOISE_SHAPE * theta[-1]
        by_noise = trace * noise + _NOISE_RATE * noise - _NOISE_SHAPE
        return misfit + prior, np.concatenate(
            [np.append(by_weight, by_height) + aside / self._deviation, [by_noise]]
        )
