"""Counts, budget, retries and the rules by which an experiment ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.errors import Problem
from kubetuna.experiment.automatic import AUTO
from kubetuna.experiment.field_errors import forbidden, invalid, not_above, required, unsupported
from kubetuna.experiment.model import Budget, Objective, StopWhen
from kubetuna.parsing.fields import Fields
from kubetuna.parsing.schema import Integer, IntegerOr, Object

PRESETS = {"quick": 20, "thorough": 200, "production": 500}
PARALLEL_DEFAULT = 3


def _at_once(description: str, required: bool = False) -> Integer:
    return Integer(low=1, high=10_000, required=required, description=description)


PARALLEL = IntegerOr(
    low=1,
    high=10_000,
    other=Object(
        {
            "min": _at_once("Trials that are open at least (1)."),
            "max": _at_once("Trials that are open at most.", required=True),
        }
    ),
    editable=True,
    description="Trials that are open at once (3). {min, max}: as many as a queue admits, and one more.",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds an experiment."""

    parallel: int
    parallel_min: int | None
    max_trials: int | None
    max_failed: int | None
    budget: Budget
    retry_limit: int
    stop_when: StopWhen
    preset: str | None


def parse_limits(spec: Fields, preset: str | None) -> Limits:
    """Read them all; ``preset`` from the command line wins over the file's."""
    if preset is not None and preset not in PRESETS:
        spec.problem("preset", unsupported(preset, tuple(PRESETS)))
    chosen = preset if preset in PRESETS else spec.text("preset")
    max_trials = spec.count("maxTrialCount")
    if chosen is not None and "maxTrialCount" not in spec:
        max_trials = PRESETS[chosen]
    between = spec.child("parallelTrialCount")
    parallel = between.count("max") if between.present else spec.count("parallelTrialCount")
    least = between.count("min") or 1
    max_failed = spec.count("maxFailedTrialCount")
    _check_count(between, "max" if between.present else "", parallel, "maxTrialCount", max_trials)
    _check_count(spec, "maxFailedTrialCount", max_failed, "maxTrialCount", max_trials)
    _check_count(between, "min", least, "parallelTrialCount.max", parallel if between.present else None)
    if parallel is None:
        parallel = min(PARALLEL_DEFAULT, max_trials or PARALLEL_DEFAULT)
    return Limits(
        parallel,
        least if between.present else None,
        max_trials,
        max_failed,
        _budget(spec),
        _retries(spec),
        _stop_when(spec),
        chosen,
    )


def _check_count(fields: Fields, name: str, count: int | None, other: str, limit: int | None) -> None:
    if count is not None and limit is not None and count > limit:
        fields.problem(name, invalid(count, f"{not_above(f'spec.{other}')}, {limit}"))


def not_katibs(spec: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with a count of Katib's, whose clients know numbers only."""
    count, ours = spec.get("parallelTrialCount"), "{min, max} needs apiVersion kubetuna.dev/v1alpha1"
    if not isinstance(count, Mapping):
        return ()
    return (Problem("spec.parallelTrialCount", invalid(count, f"must be of type integer; {ours}")),)


def _budget(spec: Fields) -> Budget:
    fields = spec.child("budget")
    return Budget(
        fields.real("gpuHours"),
        fields.duration("wallClock"),
        fields.duration("trialTimeout"),
        fields.count("acceleratorsPerTrial"),
    )


def _retries(spec: Fields) -> int:
    return spec.child("retryPolicy").count("limit") or 0


def _stop_when(spec: Fields) -> StopWhen:
    fields = spec.child("stopWhen")
    if fields.flag("terminator"):
        fields.problem("terminator", forbidden("not supported yet; use noImprovement"))
    regret = AUTO if fields.value("regret") == AUTO else fields.real("regret")
    return StopWhen(fields.real("goal"), fields.count("noImprovement"), regret)


def check_ends(spec: Fields, limits: Limits, objectives: Sequence[Objective], finite: bool) -> None:
    """Refuse an experiment that nothing would ever end; ``finite``: its search comes to an end by itself."""
    budget, stop = limits.budget, limits.stop_when
    if len(objectives) > 1:
        rules = {"goal": stop.goal, "noImprovement": stop.no_improvement, "regret": stop.regret}
        for field in (name for name, value in rules.items() if value is not None):
            spec.problem(
                f"stopWhen.{field}", forbidden("for one objective only; give each of several its own goal")
            )
    ends: tuple[object, ...] = (limits.max_trials, budget.gpu_hours, budget.wall_clock)
    if len(objectives) == 1:
        ends = (*ends, stop.goal, stop.no_improvement)
    has_goal = any(o.goal is not None for o in objectives)
    if not finite and not has_goal and all(end is None for end in ends) and "maxTrialCount" not in spec:
        spec.problem("maxTrialCount", required("nothing would end this experiment; or set a goal or a budget"))
