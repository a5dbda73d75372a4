"""Made-up studies for the report: of any size, with every kind of trial."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubetuna.analysis.report.page import render_report
from kubetuna.analysis.report.view import View, view_of
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import resource_unit, resource_units
from kubetuna.parsing.parse import parse_file_text
from kubetuna.planning.status import Moment, render
from kubetuna.planning.stopping import stop_decision
from kubetuna.study.replay import snapshot_of
from kubetuna.trials.progress import open_steps, progress_of
from kubetuna.trials.records import AttemptRecord, TrialRecord

START = 1_700_000_000.0

TEMPLATE = """
  trialTemplate:
    trialSpec:
      apiVersion: v1
      kind: Pod
      spec: {containers: [{name: trial, image: trainer, command: [train]}]}
"""

SINGLE = (
    """
apiVersion: kubetuna.dev/v1alpha1
kind: Experiment
metadata: {name: trading-ensemble}
spec:
  maxTrialCount: 20000
  objective: {type: maximize, objectiveMetricName: sharpe_ratio}
  algorithm: {algorithmName: tpe}
  earlyStopping: {algorithmName: median}
  parameters:
  - {name: learning_rate, parameterType: double, feasibleSpace: {min: 1e-6, max: 1e-3, distribution: logUniform}}
  - {name: gamma, parameterType: double, feasibleSpace: {min: 0.99, max: 0.999}}
  - {name: net_dims_0, parameterType: int, feasibleSpace: {min: 64, max: 512}}
  - {name: batch_size, parameterType: discrete, feasibleSpace: {list: [128, 256, 512, 1024]}}
  - {name: n_agents, parameterType: int, feasibleSpace: {min: 1, max: 4}}
  - {name: agent, parameterType: categorical, feasibleSpace: {list: [D3QN, 2, true, "true"]}, when: n_agents >= 3}
"""
    + TEMPLATE
)

UNPRUNED = SINGLE.replace("  earlyStopping: {algorithmName: median}\n", "")
SEVERAL = UNPRUNED.replace("trading-ensemble", "trade-offs").replace(
    "  objective: {type: maximize, objectiveMetricName: sharpe_ratio}\n",
    "  objectives:\n  - {direction: maximize, metric: sharpe_ratio}\n"
    "  - {direction: minimize, metric: max_drawdown}\n",
)


@dataclass(frozen=True)
class Study:
    """A spec with its trials; ``page`` renders it."""

    spec: Experiment
    trials: tuple[TrialRecord, ...]
    generated: float

    def status(self) -> dict[str, Any]:
        """The status, made as the command line makes it."""
        progress = progress_of(self.spec, self.trials)
        results = progress.results(open_steps(self.trials))
        snapshot = snapshot_of(self.spec, self.trials, START, resource_units(self.spec), progress)
        moment = Moment(self.generated, unit=resource_unit(self.spec))
        return render(snapshot, stop_decision(snapshot, self.generated), results, moment)

    def page(self) -> str:
        """The report."""
        return render_report(self.view())

    def view(self) -> View:
        """What the report's parts look at."""
        return view_of(self.spec, self.status(), self.trials, self.generated)


def study(trials: Sequence[TrialRecord], text: str = SINGLE, generated: float | None = None) -> Study:
    """A study of these trials."""
    last = max((t.ended or t.started or START for t in trials), default=START)
    return Study(parse_file_text(text), tuple(trials), last + 5 if generated is None else generated)


def trial(number: int, value: float | None = 1.0, **changes: Any) -> TrialRecord:
    """A trial that completed with ``value``, but for ``changes``."""
    start = START + 10.0 * number
    attempt = AttemptRecord(0, start, started=start, ended=start + 30, exit_code=0, outcome="Succeeded")
    params: dict[str, Any] = {"learning_rate": 1e-4, "gamma": 0.995, "net_dims_0": 128, "batch_size": 256}
    record = TrialRecord(
        number=number,
        state="COMPLETE",
        outcome="Succeeded",
        params={**params, "n_agents": 2},
        values=None if value is None else (value,),
        metrics={} if value is None else {"sharpe_ratio": value},
        steps=() if value is None else tuple((step, value * step / 10) for step in range(1, 11)),
        attempts=(attempt,),
        started=start,
        ended=start + 30,
        message="",
        ordinal=number,
    )
    return replace(record, **changes)


def failed_trial(number: int, message: str = "exit code 1: no such file", outcome: str = "Crashed") -> TrialRecord:
    """A trial whose only attempt failed."""
    start = START + 10.0 * number
    attempt = AttemptRecord(0, start, started=start, ended=start + 5, exit_code=1, outcome=outcome, message=message)
    return trial(number, None, state="FAIL", outcome=outcome, message=message, attempts=(attempt,), ended=start + 5)


Values = Callable[[float], tuple[float, ...]]


def many(count: int, seed: int = 0, values: Values = lambda v: (v,)) -> list[TrialRecord]:
    """Trials as a search on eight slots would leave them: most complete, some pruned, some failed, one running."""
    rng = random.Random(seed)
    free = [START] * 8
    made = [_random(number, rng, free, values) for number in range(count)]
    if made:
        last = made[-1]
        attempt = replace(last.attempts[-1], ended=None, outcome=None, exit_code=None)
        made[-1] = replace(
            last, state="RUNNING", outcome=None, values=None, ended=None, attempts=(attempt,), metrics={}
        )
    return made


def _random(number: int, rng: random.Random, free: list[float], values: Values) -> TrialRecord:
    params = _params(rng)
    score = 2 - (math.log10(params["learning_rate"]) + 4.2) ** 2 - abs(params["n_agents"] - 3) / 3
    score += rng.gauss(0, 0.15) + (0.3 if params.get("agent") == "D3QN" else 0)
    steps = tuple((s, score * (1 - math.exp(-s / 6)) + rng.gauss(0, 0.05)) for s in range(1, 21))
    kind = rng.random()
    record = trial(number, score, params=params, steps=steps, values=values(score))
    if kind < 0.12:
        outcome = rng.choice(["Crashed", "TimedOut", "NonFinite"])
        record = failed_trial(number, f"{outcome}: it went wrong", outcome)
    elif score < 0.6 and kind < 0.75:
        record = replace(record, state="PRUNED", outcome="Pruned", steps=steps[:8], values=(steps[7][1],))
    return _placed(record, rng, free)


def _placed(record: TrialRecord, rng: random.Random, free: list[float]) -> TrialRecord:
    slot = free.index(min(free))
    start = free[slot] + 1
    end = start + (5 + len(record.steps) * 3) * rng.uniform(0.8, 1.2)
    free[slot] = end
    attempt = replace(record.attempts[0], started=start, ended=end, outcome=record.outcome)
    return replace(record, attempts=(attempt,), started=start, ended=end)


def _params(rng: random.Random) -> dict[str, Any]:
    params: dict[str, Any] = {
        "learning_rate": 10 ** rng.uniform(-6, -3),
        "gamma": rng.uniform(0.99, 0.999),
        "net_dims_0": rng.randint(64, 512),
        "batch_size": rng.choice([128, 256, 512, 1024]),
        "n_agents": rng.randint(1, 4),
    }
    if params["n_agents"] >= 3:
        params["agent"] = rng.choice(["D3QN", 2, True, "true"])
    return params
