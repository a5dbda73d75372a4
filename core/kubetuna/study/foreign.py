"""Studies that plain Optuna made: an experiment that describes one, so that every page and verb can show it.

Its space is what its trials' distributions span. It has no template that could be started, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from kubetuna.experiment.model import Algorithm, Experiment, Objective, Parameter, Template, Value
from kubetuna.search.optuna_internals import METRIC_NAMES
from kubetuna.search.space import direction_of
from kubetuna.store.reader import ReadStudy
from kubetuna.trials.outcome import Outcome
from kubetuna.trials.records import AttemptRecord, TrialRecord

FOREIGN = "foreign"
# What the only objective of a study without names is called.
UNNAMED = "value"
_OUTCOMES = {"COMPLETE": Outcome.SUCCEEDED, "PRUNED": Outcome.PRUNED, "FAIL": Outcome.CRASHED}


def foreign_experiment(found: ReadStudy) -> Experiment:
    """The experiment that would have made this study, as far as the study tells."""
    spans: dict[str, list[BaseDistribution]] = {}
    for trial in found.trials:
        for name, distribution in trial.distributions.items():
            known = spans.setdefault(name, [])
            if distribution not in known:
                known.append(distribution)
    return Experiment(
        name=found.name,
        namespace="",
        parameters=tuple(_parameter(name, known) for name, known in spans.items()),
        objectives=_objectives(found),
        algorithm=Algorithm(FOREIGN),
        template=Template(kind=FOREIGN, trial_spec={}, primary_container=""),
        max_trials=max(1, len(found.trials)),
        warnings=("This study was made by another program; it can be analysed, not run.",),
    )


def _objectives(found: ReadStudy) -> tuple[Objective, ...]:
    names = found.system_attrs.get(METRIC_NAMES)
    count = len(found.directions)
    if not isinstance(names, list) or len(names) != count:
        names = [UNNAMED] if count == 1 else [f"{UNNAMED}_{i}" for i in range(count)]
    return tuple(
        Objective(str(name), direction_of(direction))
        for name, direction in zip(names, found.directions, strict=True)
    )


def _parameter(name: str, known: Sequence[BaseDistribution]) -> Parameter:
    """One parameter over everything that was searched: ranges may have changed between trials."""
    numeric = [d for d in known if isinstance(d, FloatDistribution | IntDistribution)]
    if not numeric:
        choices = (c for d in known if isinstance(d, CategoricalDistribution) for c in d.choices)
        return Parameter(name, "categorical", choices=_distinct(choices))
    whole = all(isinstance(d, IntDistribution) for d in numeric)
    low, high = min(d.low for d in numeric), max(d.high for d in numeric)
    step = numeric[0].step if len(numeric) == 1 else None
    return Parameter(name, "int" if whole else "double", low, high, step, log=all(d.log for d in numeric))


def _distinct(values: Iterable[object]) -> tuple[Value, ...]:
    found: list[Value] = []
    for value in values:
        plain = value if value is None or isinstance(value, str | int | float | bool | list | dict) else str(value)
        if not any(plain == known and type(plain) is type(known) for known in found):
            found.append(plain)
    return tuple(found)


def adopt(trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The trials as if they were ours, with one attempt each, so that they are counted and costed."""
    return tuple(_adopted(trial) for trial in trials)


def _adopted(trial: TrialRecord) -> TrialRecord:
    outcome = _OUTCOMES.get(trial.state)
    attempt = AttemptRecord(
        0, trial.started or 0.0, started=trial.started, ended=trial.ended, outcome=outcome and str(outcome)
    )
    return replace(trial, ordinal=trial.number, outcome=outcome and str(outcome), attempts=(attempt,))
