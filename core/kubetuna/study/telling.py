"""What an ended trial is told as: its values, and by how much it violates each constraint over metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.trials.outcome import Outcome


def told_values(
    spec: Experiment, outcome: Outcome, metrics: Mapping[str, float], reported: Mapping[int, float]
) -> list[float] | None:
    """The objectives of a trial that succeeded; of one that was cut short, the last of its reported steps."""
    if outcome is Outcome.SUCCEEDED:
        return [metrics[o.metric] for o in spec.objectives]
    if outcome in (Outcome.PRUNED, Outcome.STOPPED) and not spec.multi_objective:
        # As Optuna's own tell does: a pruned trial stands with its last reported value.
        return [reported[max(reported)]] if reported else None
    return None


def violations(spec: Experiment, known: Mapping[str, Any]) -> list[float]:
    """One number for each constraint over metrics, above 0 where it is violated; 0 where it does not apply."""
    over_metrics = [c.expression for c in spec.constraints if c.over == "metrics"]
    return [one.violation(known) if one.applies(known) else 0.0 for one in over_metrics]
