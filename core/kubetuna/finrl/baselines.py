"""Metrics by which a trial says what it earned, and what it had to beat on the same data."""

from __future__ import annotations

from collections.abc import Mapping

BASELINES = ("buy_and_hold_return", "flat_return", "random_return", "untuned_return")
_OWN = ("total_return", "cumulative_return")


def own_return(metrics: Mapping[str, float]) -> float | None:
    """The trial's own return, under whichever name it printed it."""
    return next((metrics[name] for name in _OWN if name in metrics), None)
