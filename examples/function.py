"""A plain Python function, tuned through kubetuna.run; each trial calls it in a process of its own.

Run it:  python examples/function.py
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import kubetuna

SPACE = {
    "rate": {"min": 1e-3, "max": 1.0, "distribution": "logUniform"},
    "momentum": (0.0, 0.99),
    "schedule": ["constant", "cosine"],
}


def descend(rate: float, momentum: float, schedule: str) -> Iterator[float]:
    """Gradient descent on a narrow valley; yields the loss after every step, so that it can be pruned."""
    x, y, speed_x, speed_y = 3.0, -2.0, 0.0, 0.0
    for step in range(20):
        scale = rate * (0.5 + 0.5 * math.cos(math.pi * step / 20) if schedule == "cosine" else 1.0) / 20
        speed_x, speed_y = momentum * speed_x - scale * 2 * x, momentum * speed_y - scale * 40 * y
        x, y = x + speed_x, y + speed_y
        yield x**2 + 20 * y**2


if __name__ == "__main__":
    study = kubetuna.run(
        descend,
        parameters=SPACE,
        objective="minimize loss",
        algorithm={"algorithmName": "tpe", "algorithmSettings": [{"name": "seed", "value": 1}]},
        earlyStopping={"algorithmName": "median"},
        maxTrialCount=12,
        parallelTrialCount=2,
    )
    print(study)
    print(study.best.params if study.best else "no trial has completed")
    print("Report:", study.report("descend.html"))
