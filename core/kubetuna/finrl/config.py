"""How a search is run: how many trials, how many at once, which sampler and pruner, where its study is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import forbidden, unsupported
from kubetuna.experiment.model import NOTHING
from kubetuna.finrl.shipped import COUNTS


def create_sqlite_storage(path: str | Path) -> str:
    """The URL of a SQLite store at ``path``; its folder is made where there is none.

    >>> create_sqlite_storage("hpo_experiments/studies.db")
    'sqlite:///hpo_experiments/studies.db'
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{place}"


@dataclass(frozen=True, slots=True)
class HPOConfig:
    """A search's settings; what is None is left as the task's example has it.

    Args:
        study_name: the study's name, which it keeps in the store; by default the task and the metric. The
            experiment is called the nearest that Kubernetes allows: ``my_study`` is ``my-study``.
        n_trials: how many trials.
        n_jobs: how many at once.
        timeout: seconds after which nothing more is started and what runs is stopped.
        sampler_type: an Optuna sampler by kubetuna's name: tpe, random, cmaes, gp, grid, qmc, nsga2, …
        pruner_type: an Optuna pruner likewise: median, hyperband, asha, …; "none" prunes nothing.
        storage_url: a SQLite or PostgreSQL URL; else KUBETUNA_STORE, else sqlite:///kubetuna.db.
        seed: of the sampler, and through it of everything.
        config: quick, thorough or production; sets the number of trials where ``n_trials`` does not.
        sampler_settings: Optuna's own settings of the sampler; without a type, of the example's own.
        pruner_settings: Optuna's own settings of the pruner, likewise.

    >>> HPOConfig.quick("task2").n_trials
    15
    >>> HPOConfig.thorough(n_jobs=4, sampler_type="random").n_trials
    200
    """

    study_name: str | None = None
    n_trials: int | None = None
    n_jobs: int | None = None
    timeout: float | None = None
    sampler_type: str | None = None
    pruner_type: str | None = None
    storage_url: str | None = None
    seed: int | None = None
    config: str = "quick"
    sampler_settings: Mapping[str, Any] = field(default_factory=dict)
    pruner_settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def quick(cls, task: str = "task1", **changes: Any) -> HPOConfig:
        """The guide's quick search: 20 trials, 15 for ``task2``.

        >>> HPOConfig.quick().n_trials
        20
        """
        return cls._preset(task, "quick", changes)

    @classmethod
    def thorough(cls, task: str = "task1", **changes: Any) -> HPOConfig:
        """The guide's thorough search: 200 trials, 100 for ``task2``.

        >>> HPOConfig.thorough("task2").n_trials
        100
        """
        return cls._preset(task, "thorough", changes)

    @classmethod
    def production(cls, task: str = "task1", **changes: Any) -> HPOConfig:
        """The guide's search for production: 500 trials, 200 for ``task2``.

        >>> HPOConfig.production().n_trials
        500
        """
        return cls._preset(task, "production", changes)

    @classmethod
    def _preset(cls, task: str, config: str, changes: Mapping[str, Any]) -> HPOConfig:
        if task not in COUNTS:
            raise SpecError((Problem("task", unsupported(task, tuple(COUNTS))),))
        return replace(cls(n_trials=COUNTS[task][config], config=config), **changes)

    def changes(self, shipped: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """What it changes in the spec that is ``shipped``, whose other settings stay.

        Raises:
            SpecError: settings of a pruner that is not used.

        >>> HPOConfig(n_trials=3, timeout=60).changes()
        {'maxTrialCount': 3, 'budget': {'wallClock': '60s'}}
        """
        if self.pruner_type == "none" and self.pruner_settings:
            raise SpecError((Problem("pruner_settings", forbidden('pruner_type is "none"')),))
        seed = {} if self.seed is None else {"seed": self.seed}
        sampler = _algorithm(shipped.get("algorithm"), self.sampler_type, {**self.sampler_settings, **seed})
        pruner = None
        if self.pruner_type != "none":
            pruner = _algorithm(shipped.get("earlyStopping"), self.pruner_type, self.pruner_settings)
        clock = None if self.timeout is None else {"wallClock": f"{self.timeout:g}s"}
        found = {
            "maxTrialCount": self.n_trials,
            "parallelTrialCount": self.n_jobs,
            "budget": clock and {**(shipped.get("budget") or {}), **clock},
            "algorithm": sampler,
            "earlyStopping": pruner,
        }
        return {name: value for name, value in found.items() if value is not None}


def _algorithm(
    shipped: Mapping[str, Any] | None, name: str | None, given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The named algorithm with what is given, the shipped one with it, or None where nothing is."""
    if name is None and not given:
        return None
    known = {s["name"]: s["value"] for s in (shipped or {}).get("algorithmSettings", ())} if name is None else {}
    settings = [{"name": n, "value": v} for n, v in {**known, **given}.items()]
    return {"algorithmName": name or (shipped or {}).get("algorithmName"), "algorithmSettings": settings}
