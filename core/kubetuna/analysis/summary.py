"""A study in a few lines: its result, its cost, reliability checks, next steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kubetuna.analysis.best_config import configuration
from kubetuna.analysis.extensions import checks_of, commands_of, figures_of, task_of
from kubetuna.analysis.report.checks import MARKS, checks
from kubetuna.analysis.report.cost import hours_text
from kubetuna.analysis.report.next_steps import with_the_winner
from kubetuna.analysis.report.overfitting import Luck, luck_of
from kubetuna.analysis.report.result import front_points
from kubetuna.analysis.report.text import number, scalar
from kubetuna.analysis.report.view import View, view_of
from kubetuna.experiment.model import better_word
from kubetuna.experiment.units import count
from kubetuna.study.record import StudyRecord


def summary(seen: StudyRecord, target: str, now: float) -> dict[str, Any]:
    """The summary in the documented JSON shape. ``target`` is how the user named the study."""
    view = view_of(seen.spec, seen.status, seen.trials, now, seen.others.alike)
    luck = luck_of(view)
    return {
        "study": seen.spec.name,
        "task": task_of(seen.spec),
        "state": seen.status.get("state"),
        "message": seen.status.get("message"),
        "objectives": [asdict(o) for o in seen.spec.objectives],
        "whyNoBest": None if view.winners else view.why_no_best,
        "best": configuration(seen, view.best) if view.best else None,
        "paretoFront": front_points(view.winners) if seen.spec.multi_objective else None,
        "trials": _counts(seen.status),
        "spent": seen.status.get("spent"),
        "savedByPruning": seen.status.get("savedByPruning"),
        "belief": [asdict(check) for check in checks(view, luck, checks_of(seen, view))],
        "luck": None if luck is None else _luck(luck),
        **figures_of(seen),
        "next": [{"command": command, "what": what} for command, what in next_commands(view, target)],
    }


def _counts(status: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "trials": "all",
        "trialsSucceeded": "completed",
        "trialsEarlyStopped": "pruned",
        "trialsFailed": "failed",
        "trialsKilled": "stopped",
        "trialsRunning": "running",
    }
    return {short: status.get(name, 0) for name, short in names.items()}


def _luck(luck: Luck) -> dict[str, Any]:
    return {
        "skill": luck.skill,
        "sharpeRatio": luck.found.ratio,
        "returns": luck.found.length,
        "interval": list(luck.interval),
        "trialsTried": luck.tried,
        "trialsEffective": luck.effective,
        "bestByLuck": luck.by_luck,
        "probabilisticSharpeRatio": luck.probabilistic,
        "deflatedSharpeRatio": luck.deflated,
        "deflatedSharpeRatioStrict": luck.deflated_strict,
        "realityCheckP": luck.reality,
        "probabilityOfOverfitting": None if luck.overfitting is None else luck.overfitting.probability,
        "overfittingByChance": None if luck.overfitting is None else luck.overfitting.chance,
        "lossOutOfSample": None if luck.overfitting is None else luck.overfitting.loss,
    }


def next_commands(view: View, target: str) -> list[tuple[str, str]]:
    """The commands that come next, each with what it does."""
    found: list[tuple[str, str]] = []
    if view.best is not None:
        found += [*with_the_winner(view, target), *commands_of(view.spec, target)]
        found.append((f"kubetuna export {target} --out production_configs", "write the best parameters to a file"))
    return [*found, (f"kubetuna report {target} --open", "open the report")]


def summary_text(shown: Mapping[str, Any]) -> str:
    """The summary for a person."""
    lines = [f"{shown['study']}: {shown['state']}. {shown['message'] or ''}".rstrip(), "", *_found(shown), ""]
    trials = shown["trials"]
    parts = ", ".join(f"{n} {word}" for word, n in trials.items() if n and word != "all")
    lines += ["Cost", f"  {count(trials['all'], 'trial')}: {parts or 'none ended'}"]
    lines += [f"  {hours_text(shown['spent'] or {})}", "", "Reliability checks"]
    lines += [f"  {MARKS[check['mark']]} {check['text']}" for check in shown["belief"]]
    width = max(len(n["command"]) for n in shown["next"])
    lines += ["", "Next steps", *(f"  {n['command']:<{width}}   {n['what']}" for n in shown["next"])]
    return "\n".join(lines)


def _found(shown: Mapping[str, Any]) -> list[str]:
    best, front = shown["best"], shown["paretoFront"]
    if front:
        names = [o["metric"] for o in shown["objectives"]]
        rows = [
            f"  trial {p['trial']}: "
            + ", ".join(f"{n} = {number(v)}" for n, v in zip(names, p["values"], strict=False))
            for p in front[:10]
        ]
        return [f"Result: {count(len(front), 'trial')} on the Pareto front", *rows]
    if best is None:
        return [f"Result: none yet; {shown['whyNoBest']}"]
    objective = shown["objectives"][0]
    way = better_word(objective["direction"])
    width = max((len(name) for name in best["best_params"]), default=0)
    return [
        f"Result: {best['metric']} = {number(best['value'])} in trial {best['trial']} ({way})",
        *(f"  {name:<{width}}  {scalar(value)}" for name, value in best["best_params"].items()),
    ]
