"""The point of a cube that promises most: many are looked at, and from a few the search climbs.

Smooth axes follow the slope, listed ones go to the best neighbour, in turn. The effort is counted in steps, never
in seconds, so that a slow machine finds the same point.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kubetuna.search.gaussian.encoding import Array, Encoding
from kubetuna.search.gaussian.improvement import Promise

ANYWHERE, NEARBY = 1024, 512
CLIMBS = 4
ROUNDS = 8
STEPS = 15


def most_promising(
    promise: Promise,
    encoding: Encoding,
    good: Array,
    is_taken: Callable[[Array], bool],
    rng: np.random.Generator,
) -> Array | None:
    """The best point found that is not taken; None if all were. ``good`` are points to look around."""
    pool = np.concatenate([encoding.drawn(rng, ANYWHERE), encoding.near(rng, good, NEARBY)])
    values = promise.of(pool)
    starts = pool[_starts(values, rng)]
    ends = np.stack([_climbed(promise, encoding, start) for start in starts])
    found, worth = np.concatenate([ends, pool]), np.concatenate([promise.of(ends), values])
    return next((found[i] for i in np.argsort(-np.round(worth, 6), kind="stable") if not is_taken(found[i])), None)


def _starts(values: Array, rng: np.random.Generator) -> Array:
    """The better half of the starts are the best points; the others are drawn, each as likely as it is good."""
    order = np.argsort(-np.round(values, 6), kind="stable")
    best, rest = order[: CLIMBS // 2], order[CLIMBS // 2 :]
    chances = np.exp(np.maximum(values[rest] - values[order[0]], -30.0))
    drawn = rng.choice(rest, size=min(CLIMBS - len(best), len(rest)), replace=False, p=chances / chances.sum())
    return np.concatenate([best, drawn])


def _climbed(promise: Promise, encoding: Encoding, start: Array) -> Array:
    point, value = start, -np.inf
    for _ in range(ROUNDS):
        moved = _up_the_slope(promise, encoding, point)
        moved = _to_a_neighbour(promise, encoding, moved)
        reached = float(promise.of(moved[None, :])[0])
        if reached <= value + 1e-6:
            break
        point, value = moved, reached
    return point


def _up_the_slope(promise: Promise, encoding: Encoding, start: Array) -> Array:
    from scipy.optimize import minimize

    if not len(encoding.smooth):
        return start
    point = start.copy()

    def falling(places: Array) -> tuple[float, Array]:
        point[encoding.smooth] = places
        value, change = promise.climbing(point, encoding.smooth)
        return -value, -change

    bounds = [(0.0, 1.0)] * len(encoding.smooth)
    found = minimize(
        falling, start[encoding.smooth], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    point[encoding.smooth] = found.x
    return np.asarray(encoding.snapped(point[None, :])[0])


def _to_a_neighbour(promise: Promise, encoding: Encoding, point: Array) -> Array:
    """The best of the point and those that differ in one listed parameter."""
    around = np.concatenate([point[None, :], encoding.neighbours(point)])
    return np.asarray(around[int(np.argmax(np.round(promise.of(around), 6)))])
