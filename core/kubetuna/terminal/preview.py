"""What ``kubetuna plan`` shows: the space, the budget, what it may cost, and what a person should know first."""

from __future__ import annotations

from typing import Any

from kubetuna.experiment.automatic import regret_sentence, retest_sentence, search_sentence
from kubetuna.experiment.model import Experiment, Parameter
from kubetuna.experiment.resources import (
    accelerators,
    pods_per_trial,
    resource_unit,
    resource_units,
    uncounted_claims,
    unknown_devices,
)
from kubetuna.experiment.steps import most_trials
from kubetuna.experiment.units import GPU, SECONDS_PER_HOUR, SLOT, Unit, count, duration
from kubetuna.search.space import cardinality
from kubetuna.terminal.differences import differences
from kubetuna.trials.environment import CHECKPOINT_DIR, OUT, short


class Preview(dict[str, Any]):
    """What a plan shows, in the documented JSON shape; it prints as a person reads it."""

    def __repr__(self) -> str:
        return preview_text(self)


def preview(spec: Experiment) -> Preview:
    """An experiment's preview."""
    shown = {
        "name": spec.name,
        "objectives": [{"metric": o.metric, "direction": o.direction, "goal": o.goal} for o in spec.objectives],
        "space": [_parameter(p) for p in spec.parameters],
        "points": cardinality(spec),
        "algorithm": {"name": spec.algorithm.name, "settings": dict(spec.algorithm.settings)},
        "search": search_sentence(spec),
        "earlyStopping": None
        if spec.pruner is None
        else {"name": spec.pruner.name, "settings": dict(spec.pruner.settings), "on": spec.curve.metric},
        "trials": spec.max_trials,
        "parallel": spec.parallel,
        "parallelMin": spec.parallel_min,
        "repeats": spec.repeats,
        "retest": _retest(spec),
        "stopWhenRegret": regret_sentence(spec),
        "budget": {
            "gpuHours": spec.budget.gpu_hours,
            "wallClockSeconds": spec.budget.wall_clock,
            "trialTimeoutSeconds": spec.budget.trial_timeout,
        },
        "cost": _cost(spec),
        "warnings": [*spec.warnings, *_notes(spec)],
        "onThisMachine": list(differences(spec)),
    }
    return Preview(shown)


def _retest(spec: Experiment) -> dict[str, Any] | None:
    if (again := spec.retest) is None:
        return None
    shown: dict[str, Any] = {"top": again.top, "repeats": again.repeats}
    return shown | ({"when": "auto", "text": retest_sentence(spec)} if again.auto else {})


def _notes(spec: Experiment) -> list[str]:
    return [*_always_let_in(spec), *_few_points(spec), *_uncounted(spec), *_unknown(spec), *_lost_folders(spec)]


def _always_let_in(spec: Experiment) -> list[str]:
    if spec.parallel_min is None or spec.queue is not None:
        return []
    return [f"without queueName nothing holds trials back: parallelTrialCount is its max, {spec.parallel}"]


def _few_points(spec: Experiment) -> list[str]:
    points, trials = cardinality(spec), spec.max_trials
    if points is None or trials is None or points >= trials:
        return []
    of = f"{count(points, 'point')}, so the search ends after {count(points, 'trial')} of {trials}"
    return [f"the search space has {of}; no point is tried twice, spec.repeats runs each of them more often"]


def _uncounted(spec: Experiment) -> list[str]:
    if not (claims := uncounted_claims(spec)):
        return []
    so_far = f"{count(claims, 'resource claim')} of the template {'counts' if claims == 1 else 'count'} as one each"
    return [
        f"{so_far} here; a cluster counts the devices of its template. budget.acceleratorsPerTrial says it for both"
    ]


def _unknown(spec: Experiment) -> list[str]:
    if not (names := unknown_devices(spec)):
        return []
    known = f"no accelerator is known by the name{'s' * (len(names) > 1)} {', '.join(names)}"
    return [f"{known}, so a trial costs one slot; if it holds some, budget.acceleratorsPerTrial says how many"]


def _lost_folders(spec: Experiment) -> list[str]:
    if spec.checkpoint and spec.checkpoint.get("volume"):
        return []
    return [
        f"in a cluster what is written to {CHECKPOINT_DIR} and {OUT} goes with each attempt's Pod; "
        "checkpoint.volume keeps checkpoints for the next attempt"
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": parameter.name, "type": parameter.kind}
    if parameter.choices:
        shown["list"] = list(parameter.choices)
    else:
        shown |= {"min": parameter.low, "max": parameter.high, "log": parameter.log}
        if parameter.normal:
            shown["normal"] = True
        if parameter.step is not None:
            shown["step"] = parameter.step
    if parameter.when is not None:
        shown["when"] = parameter.when.text
    return shown


def _cost(spec: Experiment) -> dict[str, Any]:
    """The most that can be spent, as far as the spec bounds it; None where it does not."""
    units, unit = resource_units(spec), resource_unit(spec)
    bounds = []
    if spec.budget.gpu_hours is not None:
        bounds.append(spec.budget.gpu_hours)
    if spec.budget.trial_timeout is not None and (trials := most_trials(spec)) is not None:
        again = 0 if spec.retest is None or spec.retest.auto else spec.retest.top * spec.retest.repeats
        runs = trials * spec.repeats + again
        bounds.append(runs * (1 + spec.retry_limit) * spec.budget.trial_timeout * units / SECONDS_PER_HOUR)
    if spec.budget.wall_clock is not None:
        bounds.append(spec.budget.wall_clock * spec.parallel * units / SECONDS_PER_HOUR)
    name = unit.hours
    return {
        "unit": unit.name,
        "perTrialUnits": units,
        "podsPerTrial": pods_per_trial(spec),
        "accelerators": accelerators(spec),
        f"max{name[0].upper()}{name[1:]}": min(bounds, default=None),
    }


def preview_text(shown: dict[str, Any]) -> str:
    """The preview for a person."""
    goals = ", ".join(f"{o['direction']} {o['metric']}" for o in shown["objectives"])
    trials = "no limit" if shown["trials"] is None else shown["trials"]
    least, most = shown["parallelMin"], shown["parallel"]
    at_once = most if least is None else f"{least} to {most}"
    pruner = _pruner_words(shown)
    points = "unbounded" if shown["points"] is None else count(shown["points"], "point")
    lines = [
        f"{shown['name']}: {goals}",
        f"  sampler {shown['algorithm']['name']}, pruner {pruner}, {trials} trials, {at_once} at a time",
        *([f"  search: {shown['search']}"] if shown["search"] else []),
        *([f"  {_runs_line(shown)}"] if shown["repeats"] > 1 or shown["retest"] else []),
        *([f"  ends {shown['stopWhenRegret']}"] if shown["stopWhenRegret"] else []),
        f"  space ({points}):",
        *(f"    {_space_line(p)}" for p in shown["space"]),
        f"  budget: {_budget_line(shown['budget'], _unit(shown))}",
        *([f"  a trial is {shown['cost']['podsPerTrial']} Pods"] if shown["cost"]["podsPerTrial"] > 1 else []),
        f"  {_cost_line(shown['cost'], _unit(shown))}",
        *(f"  note: {warning}" for warning in shown["warnings"]),
        *(f"  with kubetuna run: {difference}" for difference in shown["onThisMachine"]),
        "This file can run. Nothing was started.",
    ]
    return "\n".join(lines)


def _pruner_words(shown: dict[str, Any]) -> str:
    pruner = shown["earlyStopping"]
    if pruner is None or [pruner["on"]] == [o["metric"] for o in shown["objectives"]]:
        return pruner["name"] if pruner else "none"
    return f"{pruner['name']} on {pruner['on']}"


def _runs_line(shown: dict[str, Any]) -> str:
    retest = shown["retest"]
    if retest and "text" in retest:
        return f"{count(shown['repeats'], 'run')} of each trial; re-test {retest['text']}"
    again = f"; then the best {retest['top']} again, {retest['repeats']} seeds each" if retest else ""
    return f"{count(shown['repeats'], 'run')} of each trial{again}"


def _space_line(parameter: dict[str, Any]) -> str:
    if "list" in parameter:
        domain = "one of " + ", ".join(map(short, parameter["list"]))
    else:
        step = f" step {parameter['step']}" if "step" in parameter else ""
        shape = "log " * parameter["log"] + "normal" * ("normal" in parameter)
        domain = f"{parameter['min']} to {parameter['max']}{step}{f' ({shape.strip()})' if shape else ''}"
    when = f"   when {parameter['when']}" if "when" in parameter else ""
    return f"{parameter['name']}: {parameter['type']}, {domain}{when}"


def _unit(shown: dict[str, Any]) -> Unit:
    return GPU if shown["cost"]["unit"] == GPU.name else SLOT


def _budget_line(budget: dict[str, Any], unit: Unit) -> str:
    hours, wall, attempt = (budget[name] for name in ("gpuHours", "wallClockSeconds", "trialTimeoutSeconds"))
    parts = [
        unit.amount(hours) if hours is not None else "",
        f"{duration(wall)} in all" if wall is not None else "",
        f"{duration(attempt)} an attempt" if attempt is not None else "",
    ]
    return ", ".join(filter(None, parts)) or "no limit"


def _cost_line(cost: dict[str, Any], unit: Unit) -> str:
    bound = cost.get("maxGpuHours", cost.get("maxSlotHours"))
    if bound is None:
        return "cost: not bounded by the spec; set budget.gpuHours, or budget.trialTimeout with maxTrialCount"
    return f"cost: at most {unit.amount(bound)}{_held(cost) if unit is GPU else ''}"


def _held(cost: dict[str, Any]) -> str:
    """What those hours are counted by: the resources' own names, where they are what is counted."""
    named: dict[str, int] = cost["accelerators"]
    listed = ", ".join(f"{amount} {name}" for name, amount in named.items())
    units = cost["perTrialUnits"]
    return f"; a trial holds {listed if sum(named.values()) == units else count(int(units), 'accelerator')}"
