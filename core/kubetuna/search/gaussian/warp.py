"""Objective values as a Gaussian process can learn from them: smaller is better, of the order of one.

Losses jump by orders of magnitude, and one diverged run must not flatten all the others. So values are offered in
two ways: as they are, and bent by the power of the Box-Cox or, where some are not positive, the Yeo-Johnson family
that makes them most like a normal distribution. In both, what lies far out is brought near on a logarithmic scale.
Which of them a smooth function explains better, only the process can say: bending makes a valley that ends at 0
into a cleft.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kubetuna.search.gaussian.encoding import Array

# Powers are taken from a grid, so that rounding errors do not choose between them.
_BOX_COX = np.linspace(0.0, 1.0, 11)
_YEO_JOHNSON = np.linspace(-1.0, 2.0, 31)
# How strongly a straight line is preferred, with few values above all.
_PREFERENCE = 2.0
# Of medians, or of spreads about them; beyond this there is nothing to tell apart.
_FAR = 1e6
# Of spreads: from here on distances count by their logarithm.
_OUTLYING = 4.0
_LIMIT = 1e300


@dataclass(frozen=True, slots=True)
class Warped:
    """Values with mean 0 and variance 1, or all 0 where they are all equal; their order is kept.

    ``stretch``: the sum of the logarithms of the slope at each value, by which likelihoods are compared.
    """

    values: Array
    stretch: float


def warps(values: Array) -> Iterator[Warped]:
    """The ways in which the values may be taken; just one where both are the same."""
    bounded = np.clip(values, -_LIMIT, _LIMIT)
    if np.ptp(bounded) == 0:
        yield Warped(np.zeros(len(bounded)), 0.0)
        return
    spread = _spread(bounded)
    plain = (bounded - np.median(bounded)) / spread
    yield _brought_near(plain, -len(plain) * np.log(spread))
    positive = bounded.min() > 0
    scale = float(np.median(bounded)) if positive else spread
    power, bent, logs = _box_cox(bounded / scale) if positive else _yeo_johnson(plain)
    if power != 1.0:
        within = _spread(bent)
        stretch = (power - 1) * float(logs.sum()) - len(bent) * (np.log(within) + np.log(scale))
        yield _brought_near((bent - np.median(bent)) / within, stretch)


def _spread(values: Array) -> float:
    """How far apart they lie in the middle, or the nearest to it at which any do."""
    for share in (0.25, 0.1, 0.0):
        low, high = np.quantile(values, (share, 1 - share))
        if high > low:
            return float(high - low)
    return 1.0


def _brought_near(values: Array, stretch: float) -> Warped:
    beyond = np.maximum(np.abs(values) - _OUTLYING, 0.0)
    logs = np.log1p(beyond)
    near = np.where(beyond > 0, np.sign(values) * (_OUTLYING + logs), values)
    deviation = max(float(near.std()), 1e-12)
    stretch -= float(logs.sum()) + len(values) * float(np.log(deviation))
    return Warped(np.asarray((near - near.mean()) / deviation), stretch)


def _box_cox(ratios: Array) -> tuple[float, Array, Array]:
    logs = np.log(np.clip(ratios, 1 / _FAR, _FAR))
    bent = [logs if p == 0 else np.expm1(p * logs) / p for p in _BOX_COX.tolist()]
    return _most_normal(bent, _BOX_COX, logs)


def _yeo_johnson(spreads: Array) -> tuple[float, Array, Array]:
    logs = np.sign(spreads) * np.log1p(np.minimum(np.abs(spreads), _FAR))
    above, below = np.maximum(logs, 0.0), np.maximum(-logs, 0.0)
    return _most_normal(
        [_grown(above, p) - _grown(below, 2 - p) for p in _YEO_JOHNSON.tolist()], _YEO_JOHNSON, logs
    )


def _grown(logs: Array, power: float) -> Array:
    return logs if abs(power) < 1e-9 else np.asarray(np.expm1(power * logs) / power)


def _most_normal(candidates: list[Array], powers: Array, logs: Array) -> tuple[float, Array, Array]:
    """The power with the likeliest result; ``logs`` are those of each transform's slope at power 2."""
    scores = [
        -0.5 * len(logs) * np.log(max(float(bent.var()), 1e-24))
        + (power - 1) * float(logs.sum())
        - _PREFERENCE * (power - 1) ** 2
        for bent, power in zip(candidates, powers.tolist(), strict=True)
    ]
    best = int(np.argmax(np.round(scores, 6)))
    return round(float(powers[best]), 6), candidates[best], logs
