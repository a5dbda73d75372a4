"""Functions that the tests tune; trials import this module."""

from __future__ import annotations

from collections.abc import Iterator


def square(x: float, layers: int = 1) -> float:
    """One number: the objective."""
    return (x - 2) ** 2 + layers


def curve(x: float) -> Iterator[dict[str, float]]:
    """A report per step, with a further metric."""
    for step in (1, 2, 3):
        yield {"loss": x + 1 / step, "step_squared": step**2}


def pair(x: float) -> tuple[float, float]:
    """Two objectives, in the order of the experiment's."""
    return x, 1 - x


class Model:
    """A function may live in a class."""

    @staticmethod
    def score(x: float) -> dict[str, float]:
        """A mapping of metrics."""
        return {"accuracy": x}
