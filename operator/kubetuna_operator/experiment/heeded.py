"""What is heeded of a spec that is refused: that the Experiment pauses, ends, or spends less than before.

No mistake in another field may keep GPUs busy, so each of these is taken by itself, as far as it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from kubetuna.errors import SpecError
from kubetuna.experiment.model import Experiment
from kubetuna.parsing.parse import parse_experiment
from kubetuna_operator.kube.objects import mapping

# What ends an Experiment, or lets it pause, whatever else its spec says.
HALTS = ("suspend", "suspendPolicy", "shutdown")
MOST_TRIALS = ("maxTrialCount",)
# What may be used up, and how much of it an Experiment allows; None: no end.
LIMITS: Mapping[tuple[str, ...], Callable[[Experiment], float | None]] = {
    ("parallelTrialCount",): lambda spec: spec.parallel,
    ("maxFailedTrialCount",): lambda spec: spec.max_failed,
    MOST_TRIALS: lambda spec: spec.max_trials,
    ("budget", "gpuHours"): lambda spec: spec.budget.gpu_hours,
    ("budget", "wallClock"): lambda spec: spec.budget.wall_clock,
    ("budget", "trialTimeout"): lambda spec: spec.budget.trial_timeout,
}


def heeded(accepted: Mapping[str, Any], asked: Mapping[str, Any]) -> Experiment:
    """An Experiment that was accepted, with what is heeded of another spec, which may say anything.

    Raises:
        SpecError: the accepted one is refused by now.
    """
    document, made = accepted, parse_experiment(accepted)
    for name in HALTS:
        others = {other: value for other, value in document["spec"].items() if other != name}
        document, made = _changed(document, made, {**others, name: asked[name]} if name in asked else others)
    for path, limit in LIMITS.items():
        spec = _with(document["spec"], asked, path)
        changed, lowered = _changed(document, made, spec)
        if _is_less(limit(lowered), limit(made)):
            document, made = changed, lowered
    return made


def _changed(
    document: Mapping[str, Any], made: Experiment, spec: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Experiment]:
    """With another spec where that holds, else as it was."""
    if spec == document["spec"]:
        return document, made
    with suppress(SpecError):
        changed = {**document, "spec": spec}
        return changed, parse_experiment(changed)
    return document, made


def _with(spec: Mapping[str, Any], asked: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """A spec with a limit of another one. No other count may be above that of the trials."""
    *above, name = path
    value = (mapping(asked.get(above[0])) if above else asked).get(name)
    if value is None:
        return spec
    if above:
        return {**spec, above[0]: {**mapping(spec.get(above[0])), name: value}}
    if path == MOST_TRIALS and isinstance(value, int):
        return {**{other: _at_most(count, other, value) for other, count in spec.items()}, name: value}
    return {**spec, name: value}


def _at_most(count: Any, name: str, most: int) -> Any:
    if (name,) not in LIMITS:
        return count
    if isinstance(count, Mapping):
        return {end: _at_most(part, name, most) for end, part in count.items()}
    return min(count, most) if isinstance(count, int) else count


def _is_less(limit: float | None, before: float | None) -> bool:
    return limit is not None and (before is None or limit < before)
