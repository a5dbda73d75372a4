"""By how much a hard limit may be passed, and what must not be shown to anyone.

A budget is overshot by no more than the running trials times one poll and their grace period, and a
``trialTimeout`` likewise, wherever nothing goes wrong. While something does nobody can promise that; from the end
of the faults on an operator has the time to take over, and to notice a watch that is silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from kubetuna.experiment.quantities import seconds
from kubetuna.planning.plan import IDLE_SECONDS
from kubetuna_operator.kube.leader import DURATION
from kubetuna_operator.kube.reflector import SILENCE
from tests.sim.database import FOREIGN_STUDY
from tests.sim.experiments import GRACE
from tests.sim.nodes import Run
from tests.sim.scripts import PASSWORD

# What the times of a Pod lose by being written to the second.
WRITTEN = 1.0
# From a stop that is sent until the kubelet acts, and that.
HEEDED = 3.0
PROMPT = IDLE_SECONDS + HEEDED + GRACE
RECOVERED = DURATION + SILENCE + PROMPT
# Where the simulated servers stand.
API_SERVER, DATABASE_HOST = "10.0.0.1:443", "db.internal"
# What nobody may be shown; in the operator's own log its administrators may read where its servers are.
SECRETS = (PASSWORD,)
NOT_FOR_ALL = (*SECRETS, API_SERVER, DATABASE_HOST, FOREIGN_STUDY, "sqlite", "127.0.0.1")


def leak(text: str, hidden: Sequence[str] = NOT_FOR_ALL) -> str:
    """What of that which is hidden stands in a text."""
    return next((what for what in hidden if what in text), "")


def overtime(spec: Mapping[str, Any], runs: Sequence[Run], since: float, allowed: float) -> Iterator[str]:
    """Which attempts ran for longer than ``trialTimeout``, after ``since`` by more than what is ``allowed``."""
    limit = seconds((spec.get("budget") or {}).get("trialTimeout"))
    for run in runs if limit is not None else ():
        over = _end(run) - max(run.started + limit, since)
        if over > allowed:
            yield f"{run.pod} ran {over:.0f} s beyond its trialTimeout, {allowed:.0f} are allowed"


def overshoot(spec: Mapping[str, Any], runs: Sequence[Run], since: float, allowed: float) -> Iterator[str]:
    """Whether a budget was overshot after ``since`` by more than is ``allowed`` for each running trial."""
    hours = (spec.get("budget") or {}).get("gpuHours")
    if hours is None:
        return
    # What has ended is counted by times that are written to the second.
    since = max(since, used_up(runs, float(hours) * 3600.0 + WRITTEN * sum(run.ended is not None for run in runs)))
    over = sum(max(0.0, _end(run) - max(run.started, since)) for run in runs)
    # A Pod that was on its way may come up, and is stopped as one that runs.
    running = sum(run.started <= since + allowed and since < _end(run) for run in runs)
    if over > running * allowed:
        yield f"{hours} GPU-hours were overshot by {over:.0f} s with {running} running, each may {allowed:.0f} s"


def used_up(runs: Sequence[Run], seconds: float) -> float:
    """When attempts, each with one GPU, had used so much together; never: infinity."""
    moments = sorted({t for run in runs for t in (run.started, _end(run))})
    for before, after in pairwise(moments):
        running = sum(run.started <= before and _end(run) >= after for run in runs)
        if running * (after - before) >= seconds:
            return before + seconds / running
        seconds -= running * (after - before)
    return float("inf")


def _end(run: Run) -> float:
    return float("inf") if run.ended is None else run.ended
