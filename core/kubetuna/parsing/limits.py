"""Counts, budget, retries and the rules by which an experiment ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubetuna.experiment.model import Budget, Objective, StopWhen
from kubetuna.parsing.fields import Fields, shown

PRESETS = {"quick": 20, "thorough": 200, "production": 500}
PARALLEL_DEFAULT = 3
PARALLEL_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds an experiment."""

    parallel: int
    max_trials: int | None
    max_failed: int | None
    budget: Budget
    retry_limit: int
    stop_when: StopWhen
    preset: str | None


def parse_limits(spec: Fields, preset: str | None) -> Limits:
    """Read them all; ``preset`` from the command line wins over the file's."""
    written = spec.text("preset", words=tuple(PRESETS))
    if preset is not None and preset not in PRESETS:
        spec.problem("preset", f"{shown(preset)} is not allowed; allowed: {', '.join(PRESETS)}")
    chosen = preset if preset in PRESETS else written
    max_trials = spec.count("maxTrialCount", 1)
    if chosen is not None and ("maxTrialCount" not in spec or (preset is not None and preset in PRESETS)):
        max_trials = PRESETS[chosen] if "maxTrialCount" not in spec else max_trials
    parallel = spec.count("parallelTrialCount", 1, PARALLEL_LIMIT)
    max_failed = spec.count("maxFailedTrialCount", 0)
    _check_counts(spec, parallel, max_trials, max_failed)
    if parallel is None:
        parallel = min(PARALLEL_DEFAULT, max_trials or PARALLEL_DEFAULT)
    return Limits(parallel, max_trials, max_failed, _budget(spec), _retries(spec), _stop_when(spec), chosen)


def _check_counts(spec: Fields, parallel: int | None, trials: int | None, failed: int | None) -> None:
    if trials is None:
        return
    if parallel is not None and parallel > trials:
        spec.problem("parallelTrialCount", f"{parallel} must not be above spec.maxTrialCount, {trials}")
    if failed is not None and failed > trials:
        spec.problem("maxFailedTrialCount", f"{failed} must not be above spec.maxTrialCount, {trials}")


def _budget(spec: Fields) -> Budget:
    fields = spec.child("budget")
    fields.known(("gpuHours", "wallClock", "trialTimeout"))
    hours = fields.number("gpuHours")
    if hours is not None and hours <= 0:
        fields.problem("gpuHours", f"{shown(fields.raw('gpuHours'))} must be above 0")
        hours = None
    return Budget(
        None if hours is None else float(hours), fields.duration("wallClock"), fields.duration("trialTimeout")
    )


def _retries(spec: Fields) -> int:
    fields = spec.child("retryPolicy")
    fields.known(("limit",))
    return fields.count("limit", 0, 100) or 0


def _stop_when(spec: Fields) -> StopWhen:
    fields = spec.child("stopWhen")
    fields.known(("goal", "noImprovement", "terminator"))
    if fields.flag("terminator"):
        fields.problem("terminator", "is not supported yet; use noImprovement")
    goal = fields.number("goal")
    return StopWhen(None if goal is None else float(goal), fields.count("noImprovement", 1))


def check_ends(spec: Fields, limits: Limits, objectives: Sequence[Objective], finite: bool) -> None:
    """Refuse an experiment that nothing would ever end; ``finite``: its search comes to an end by itself."""
    budget, stop = limits.budget, limits.stop_when
    if len(objectives) > 1:
        for field, value in (("goal", stop.goal), ("noImprovement", stop.no_improvement)):
            if value is not None:
                spec.problem(f"stopWhen.{field}", "is for one objective; give each of several its own goal")
    ends: tuple[object, ...] = (limits.max_trials, budget.gpu_hours, budget.wall_clock)
    if len(objectives) == 1:
        ends = (*ends, stop.goal, stop.no_improvement)
    has_goal = any(o.goal is not None for o in objectives)
    if not finite and not has_goal and all(end is None for end in ends) and "maxTrialCount" not in spec:
        spec.problem("maxTrialCount", "nothing would end this experiment; set maxTrialCount, a goal or a budget")
