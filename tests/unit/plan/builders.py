"""Short ways to say what a snapshot holds, for table tests of the plan."""

from __future__ import annotations

from typing import Any

from kubetuna.experiment.model import Algorithm, Experiment, Objective, Parameter, Template
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptPhase, ExitFacts
from kubetuna.trials.outcome import Outcome, Reading
from kubetuna.trials.snapshot import AttemptView, Snapshot, TrialView

NOW = 1_000.0


def experiment(**changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "name": "quadratic",
        "namespace": "default",
        "parameters": (Parameter("x", "double", low=0.0, high=1.0),),
        "objectives": (Objective("loss", "minimize"),),
        "algorithm": Algorithm("tpe"),
        "template": Template("Pod", {}, "trial"),
        "parallel": 2,
        "max_trials": 4,
    }
    return Experiment(**{**fields, **changes})


def facts(trial: int, attempt: int, phase: AttemptPhase, repeat: int = 0, **exit_fields: Any) -> AttemptFacts:
    ended = phase == "ended"
    return AttemptFacts(
        AttemptKey(trial, attempt, repeat),
        phase,
        created=NOW - 10,
        started=None if phase == "pending" else NOW - 10,
        ended=NOW if ended else None,
        exit=ExitFacts(**exit_fields) if ended else None,
    )


def attempt(trial: int, number: int = 0, phase: AttemptPhase | None = "running", **more: Any) -> AttemptView:
    exit_fields = more.pop("exit", {"exit_code": 0} if phase == "ended" else {})
    seen = None if phase is None else facts(trial, number, phase, more.get("repeat", 0), **exit_fields)
    more.setdefault("drained", phase == "ended")
    return AttemptView(number, created=NOW - 10, facts=seen, **more)


def past(number: int, outcome: Outcome, reason: str | None = None, repeat: int = 0) -> AttemptView:
    return AttemptView(number, created=NOW - 20, outcome=outcome, reason=reason, drained=True, repeat=repeat)


def good_reading(value: float = 0.5) -> Reading:
    return Reading({"loss": value})


NO_METRIC = Reading({}, missing=("loss",))


def trial(number: int, *attempts: AttemptView, **more: Any) -> TrialView:
    more.setdefault("reading", good_reading())
    return TrialView(number, attempts, **more)


def snapshot(*trials: TrialView, **more: Any) -> Snapshot:
    more.setdefault("spec", experiment())
    return Snapshot(trials=trials, started=NOW - 100, **more)
