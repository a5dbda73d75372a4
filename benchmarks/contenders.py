"""Who searches: our default, and what others search with where nobody chose, each asked and told in one way.

Hyperopt is driven as Katib drives it, and only where it is installed: ``pip install hyperopt==0.3.0``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)

from benchmarks.search_tasks import Ask, Space
from kubetuna.experiment.model import Experiment, Parameter
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.optuna_internals import suggest
from kubetuna.search.samplers import Proposer
from kubetuna.search.space import distribution, exists, identity, ordered, restored

OURS, DEFAULT, KATIB, RANDOM = "kubetuna auto", "Optuna's TPE", "Katib's hyperopt", "random"
# Optuna's process takes some tenths of a second a trial, so it gets fewer trials.
SLOW = "Optuna's GPSampler"
# Beside them where there are several objectives.
GENETIC = "Optuna's NSGA-II"
AT_A_TIME = 4
MISSING = "Katib's hyperopt is left out: pip install hyperopt==0.3.0"

_SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    DEFAULT: lambda seed: TPESampler(seed=seed),
    RANDOM: lambda seed: RandomSampler(seed=seed),
    SLOW: lambda seed: GPSampler(seed=seed),
    GENETIC: lambda seed: NSGAIISampler(seed=seed),
}


def contenders() -> tuple[str, ...]:
    """All that are installed."""
    hyperopt = importlib.util.find_spec("hyperopt") is not None
    return (OURS, DEFAULT, *([KATIB] if hyperopt else []), RANDOM, SLOW)


def can_search(name: str, task: Space) -> bool:
    """Whether its space can be written down for a contender: Katib knows no conditions."""
    return name != KATIB or not any("when" in p for p in task.parameters)


def asker(name: str, task: Space, seed: int, at_a_time: int, objectives: int = 1) -> Callable[[], Ask]:
    """What gives a contender's next point, and takes its value."""
    spec = spec_of(task, "auto", objectives=objectives)
    if name == OURS:
        return ours(spec, seed)
    return _katib(spec, seed, at_a_time) if name == KATIB else theirs(spec, _SAMPLERS[name](seed))


def spec_of(task: Space, algorithm: str, trials: int = 100, objectives: int = 1) -> Experiment:
    """The Experiment that searches a task."""
    metrics = ["loss", *(f"loss_{i}" for i in range(2, objectives + 1))]
    container = {"name": "trial", "image": "none", "command": ["true"]}
    document = {
        "apiVersion": "kubetuna.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": "search"},
        "spec": {
            "objectives": [{"metric": name, "direction": "minimize"} for name in metrics],
            "algorithm": {"algorithmName": algorithm},
            "parameters": list(task.parameters),
            "maxTrialCount": trials,
            "trialTemplate": {
                "trialSpec": {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}
            },
        },
    }
    return parse_file_text(json.dumps(document))


def ours(spec: Experiment, seed: int) -> Callable[[], Ask]:
    """Our own driving of whatever the Experiment names."""
    study, proposer, tried = _study_of(spec), Proposer(spec, seed), set[str]()
    space = {p.name: distribution(p) for p in spec.parameters}

    def ask() -> Ask:
        number = study.ask().number
        frozen = study.get_trials(deepcopy=False)[number]
        params = proposer.propose(study, frozen, number, tried)
        tried.add(identity(spec.parameters, params))
        trial = optuna.Trial(study, number)
        study.sampler = PartialFixedSampler(params, RandomSampler())
        for name, value in params.items():
            assert suggest(trial, name, space[name]) == value
        return params, _teller(study, trial)

    return ask


def _study_of(spec: Experiment, sampler: BaseSampler | None = None) -> optuna.Study:
    return optuna.create_study(sampler=sampler, directions=["minimize"] * len(spec.objectives))


def _teller(study: optuna.Study, trial: optuna.Trial) -> Callable[..., object]:
    def tell(values: float | Sequence[float], over: Sequence[float] = ()) -> None:
        for place, one in enumerate(over):
            trial.set_constraint(str(place), one)
        study.tell(trial.number, values)

    return tell


def theirs(spec: Experiment, sampler: BaseSampler) -> Callable[[], Ask]:
    """Optuna's own driving of a sampler."""
    study, parameters = _study_of(spec, sampler), ordered(spec)

    def ask() -> Ask:
        trial, params = study.ask(), dict[str, Any]()
        for parameter in parameters:
            if exists(parameter, params):
                params[parameter.name] = restored(suggest(trial, parameter.name, distribution(parameter)))
        return params, _teller(study, trial)

    return ask


def _katib(spec: Experiment, seed: int, at_a_time: int) -> Callable[[], Ask]:
    """Katib's service for ``tpe``: hyperopt's settings are its defaults, but only the first request is answered by
    chance, which asks for as many as run at a time; trials under way it does not know."""
    logging.getLogger("hyperopt").setLevel(logging.ERROR)
    hyperopt = importlib.import_module("hyperopt")
    space = {p.name: _hyperopt(hyperopt.hp, p) for p in spec.parameters}
    domain, trials = hyperopt.Domain(None, space, pass_expr_memo_ctrl=None), hyperopt.Trials()
    draw, first = np.random.RandomState(seed), list[Any]()

    def suggested(count: int) -> Any:
        new = trials.new_trial_ids(count)
        return hyperopt.tpe.suggest(
            new, domain, trials, draw.randint(2**31 - 1), n_startup_jobs=count, verbose=False
        )

    def ask() -> Ask:
        if not trials.trials and not first:
            first.extend(suggested(at_a_time))
        document = first.pop(0) if first else suggested(1)[0]
        values = {name: found[0] for name, found in document["misc"]["vals"].items()}

        def tell(value: float) -> None:
            document.update(state=hyperopt.JOB_STATE_DONE, result={"loss": value, "status": hyperopt.STATUS_OK})
            trials.insert_trial_docs([document])
            trials.refresh()

        return {p.name: _value(p, values[p.name]) for p in spec.parameters}, tell

    return ask


def _hyperopt(hp: Any, parameter: Parameter) -> Any:
    """As Katib writes a parameter: lists of numbers are choices too."""
    name, low, high = parameter.name, parameter.low, parameter.high
    if parameter.choices:
        return hp.choice(name, list(parameter.choices))
    assert low is not None and high is not None
    if parameter.log:
        return hp.loguniform(name, math.log(low), math.log(high))
    return (hp.uniformint if parameter.kind == "int" else hp.uniform)(name, float(low), float(high))


def _value(parameter: Parameter, found: Any) -> Any:
    if parameter.choices:
        return parameter.choices[int(found)]
    return int(found) if parameter.kind == "int" else float(found)
