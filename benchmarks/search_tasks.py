"""Functions with a known best value, over spaces as people write them: smooth, mixed, conditional, noisy.

Each gives how far a point is above the best, in a unit of its own. None of them is a training; what a search does
on those only trainings show.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Params = Mapping[str, Any]
# A point to try, and what takes its values and, where there are limits, how far it is beyond each.
Ask = tuple[dict[str, Any], Callable[..., object]]


class Space(Protocol):
    """What is searched."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> tuple[dict[str, Any], ...]: ...


class Task(Space, Protocol):
    """A space, what a point costs beyond the best, and what a trial sees of it."""

    def excess(self, params: Params, /) -> float: ...
    def seen(self, params: Params, draw: np.random.Generator) -> float: ...


@dataclass(frozen=True, slots=True)
class Function:
    """A task whose values have normal noise of this deviation."""

    name: str
    parameters: tuple[dict[str, Any], ...]
    excess: Callable[[Params], float]
    noise: float = 0.0

    def seen(self, params: Params, draw: np.random.Generator) -> float:
        return self.excess(params) + self.noise * float(draw.normal())


def double(name: str, low: float, high: float, log: bool = False, **more: Any) -> dict[str, Any]:
    scale = {"distribution": "logUniform"} if log else {}
    return {
        "name": name,
        "parameterType": "double",
        "feasibleSpace": {"min": low, "max": high, **scale},
        **more,
    }


def whole(name: str, low: int, high: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "parameterType": "int", "feasibleSpace": {"min": low, "max": high}, **more}


def choice(name: str, *choices: Any, kind: str = "categorical", **more: Any) -> dict[str, Any]:
    return {"name": name, "parameterType": kind, "feasibleSpace": {"list": list(choices)}, **more}


def _branin(p: Params) -> float:
    x, y = float(p["x"]), float(p["y"])
    hill = (y - 5.1 * x * x / (4 * math.pi**2) + 5 * x / math.pi - 6) ** 2
    return hill + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.39788735


_HARTMANN = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_DEPTHS = np.array([1.0, 1.2, 3.0, 3.2])


def _hartmann(p: Params) -> float:
    x = np.array([float(p[f"x{i}"]) for i in range(6)])
    return 3.322368 - float(_DEPTHS @ np.exp(-(_HARTMANN * (x - _CENTRES) ** 2).sum(axis=1)))


def _rosenbrock(p: Params) -> float:
    x = [float(p[f"x{i}"]) for i in range(4)]
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def _ellipsoid(p: Params) -> float:
    """Half its axes whole, and turned, so that no axis stands for itself."""
    x = np.array([*(float(p[f"x{i}"]) for i in range(3)), *(int(p[f"n{i}"]) / 2.0 for i in range(3))])
    away = x - np.array([1.3, -0.7, 2.1, 1.0, -2.0, 0.5])
    turned = away + 0.3 * np.roll(away, 1) - 0.2 * np.roll(away, 2)
    return float((10.0 ** np.linspace(0, 2, 6) * turned**2).sum())


_OPTIMIZERS = {"adam": (0.0, -3.0), "adamw": (0.02, -3.2), "rmsprop": (0.08, -3.5), "sgd": (0.15, -1.2)}
_ACTIVATIONS = {"gelu": 0.0, "relu": 0.02, "silu": 0.01, "tanh": 0.1}


def _training(p: Params) -> float:
    """Nine parameters as those of a network: the best rate depends on the optimizer and on the batch."""
    worse, place = _OPTIMIZERS[p["optimizer"]]
    rate = math.log10(float(p["lr"])) - place - 0.25 * math.log2(int(p["batch"]) / 64)
    decay, width = math.log10(float(p["decay"])) + 4, math.log2(int(p["width"]) / 256)
    depth, drop = int(p["layers"]) - 4, float(p["dropout"]) - 0.15 - 0.03 * width
    terms = (
        worse,
        _ACTIVATIONS[p["activation"]],
        0.3 * min(rate**2, 2.0 + 0.5 * abs(rate)),
        0.01 * decay**2,
        0.02 * width**2 + 0.01 * depth**2,
        1.5 * drop**2,
        0.02 * (int(p["warmup"]) / 1000 - 0.4) ** 2,
        0.0 if p["clip"] else 0.02,
    )
    return sum(terms)


def _branches(p: Params) -> float:
    """Three methods, each with settings of its own; the best lies in the one that is worst by chance."""
    if p["method"] == "linear":
        return 0.3 + 0.05 * (math.log10(float(p["penalty"])) + 2) ** 2
    if p["method"] == "trees":
        size = math.log2(int(p["count"]) / 200)
        return 0.1 + 0.02 * size**2 + 0.03 * abs(int(p["depth"]) - 7)
    rate, layers = math.log10(float(p["rate"])) + 2.7, int(p["layers"]) - 3
    return 0.4 * min(rate**2, 2.0) + 0.08 * layers**2 + 0.5 * (float(p["drop"]) - 0.2) ** 2


_TRAINING = (
    double("lr", 1e-6, 1, log=True),
    double("decay", 1e-7, 1e-1, log=True),
    double("dropout", 0, 0.6),
    choice("batch", 16, 32, 64, 128, 256, kind="discrete"),
    whole("width", 16, 1024),
    whole("layers", 1, 8),
    whole("warmup", 0, 1000),
    choice("optimizer", *_OPTIMIZERS),
    choice("activation", *_ACTIVATIONS),
    choice("clip", True, False),
)

BRANIN = Function("branin", (double("x", -5, 10), double("y", 0, 15)), _branin)
TRAINING = Function("training", _TRAINING, _training)
FUNCTIONS = (
    BRANIN,
    Function("hartmann6", tuple(double(f"x{i}", 0, 1) for i in range(6)), _hartmann),
    Function("rosenbrock4", tuple(double(f"x{i}", -2, 2) for i in range(4)), _rosenbrock),
    Function(
        "mixed-integer",
        (*(double(f"x{i}", -5, 5) for i in range(3)), *(whole(f"n{i}", -10, 10) for i in range(3))),
        _ellipsoid,
    ),
    TRAINING,
    # As far apart as two good configurations are.
    Function("training, noisy", _TRAINING, _training, noise=0.05),
    Function(
        "conditional",
        (
            choice("method", "linear", "trees", "network"),
            double("penalty", 1e-6, 1e2, log=True, when="method == 'linear'"),
            whole("count", 10, 2000, when="method == 'trees'"),
            whole("depth", 1, 20, when="method == 'trees'"),
            double("rate", 1e-5, 1, log=True, when="method == 'network'"),
            whole("layers", 1, 8, when="method == 'network'"),
            double("drop", 0, 0.8, when="method == 'network'"),
        ),
        _branches,
    ),
)

# Which samplers of finite spaces need; 256 points.
GRIDDED = Function("branin, on a grid", (whole("x", -5, 10), whole("y", 0, 15)), _branin)
