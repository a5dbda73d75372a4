"""Whether an ended trial keeps the constraints over its metrics, and what to say where it does not.

A constraint that could not be checked does not hold: else a metric with a slip in its name would switch off the
limit on it, and the winner would be a trial beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.experiment.model import Constraint, Experiment


@dataclass(frozen=True, slots=True)
class Kept:
    """How one constraint fared: at most 0 where it is kept, above 0 where not; and then why, in words."""

    violation: float
    fault: str = ""


def over_metrics(spec: Experiment) -> tuple[Constraint, ...]:
    """The constraints that only an ended trial can be held to."""
    return tuple(c for c in spec.constraints if c.over == "metrics")


def kept(
    spec: Experiment, params: Mapping[str, Any], metrics: Mapping[str, float], complete: bool
) -> tuple[Kept, ...]:
    """How each of them fared. One of a trial that was cut short is kept until it is known to be violated."""
    declared = frozenset(p.name for p in spec.parameters)
    known = {**params, **{name: value for name, value in metrics.items() if math.isfinite(value)}}
    return tuple(_kept(one, known, declared, complete) for one in over_metrics(spec))


def _kept(one: Constraint, known: Mapping[str, Any], declared: frozenset[str], complete: bool) -> Kept:
    unprinted = sorted(one.expression.names - declared - known.keys())
    if unprinted and complete:
        return Kept(1.0, f"{one.text!r} cannot be checked, since the log gives no number for {_listed(unprinted)}")
    # A parameter may not exist in this trial: then the constraint is not about it.
    violation = one.expression.violation(known) if one.expression.applies(known) else 0.0
    return Kept(violation, f"{one.text!r} does not hold" if violation > 0 else "")


def infeasible(found: Sequence[Kept]) -> str:
    """The one line about a trial that violates constraints; empty where it violates none."""
    faults = "; ".join(one.fault for one in found if one.fault)
    return f"infeasible: {faults}" if faults else ""


def why_no_best(spec: Experiment, status: Mapping[str, Any]) -> str:
    """Why an experiment without a best trial has none, by the counts of its status."""
    complete = status.get("trialsSucceeded", 0)
    if complete:
        limits = _listed([c.text for c in over_metrics(spec)]) or "the constraints"
        return f"{complete} completed, none satisfies {limits}"
    return "no trial has completed with a valid value" if status.get("trials") else "no trial has started"


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(map(repr, texts))
