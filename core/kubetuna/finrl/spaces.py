"""The search spaces of the contest's guide, read from the experiments that ship with kubetuna."""

from __future__ import annotations

from typing import Any, ClassVar

from optuna import Trial
from optuna.distributions import BaseDistribution

from kubetuna.experiment.model import Experiment
from kubetuna.finrl.shipped import task_experiment
from kubetuna.search.optuna_internals import suggest
from kubetuna.search.space import distribution, exists, ordered, restored


class SearchSpace:
    """A task's search space, for anyone who drives Optuna alone; the optimizers use the same."""

    task: ClassVar[str]

    def __init__(self) -> None:
        self._spec: Experiment = task_experiment(self.task)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each parameter, conditional ones included."""
        return {p.name: distribution(p) for p in self._spec.parameters}

    def conditions(self) -> dict[str, str]:
        """Where the conditional parameters exist."""
        return {p.name: p.when.text for p in self._spec.parameters if p.when is not None}

    def suggest_parameters(self, trial: Trial) -> dict[str, Any]:
        """Let an Optuna trial suggest a value for each parameter that exists."""
        values: dict[str, Any] = {}
        for parameter in ordered(self._spec):
            if exists(parameter, values):
                values[parameter.name] = restored(suggest(trial, parameter.name, distribution(parameter)))
        return values


class Task1HPOSearchSpace(SearchSpace):
    """The space of task 1: networks, learning, simulation and the ensemble's agents.

    >>> space = Task1HPOSearchSpace()
    >>> space.distributions()["learning_rate"]
    FloatDistribution(high=0.001, log=True, low=1e-06, step=None)
    >>> space.conditions()["agent_2"]
    'n_ensemble_agents >= 3'
    """

    task = "task1"


class Task2HPOSearchSpace(SearchSpace):
    """The space of task 2: the adapter, its training, and how the market rewards it.

    >>> Task2HPOSearchSpace().distributions()["lora_r"]
    IntDistribution(high=64, log=False, low=8, step=8)
    """

    task = "task2"
