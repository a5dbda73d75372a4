"""Tuning the contest's tasks from Python, by the same plan, store and runner as the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import optuna

from kubetuna.experiment.model import Experiment
from kubetuna.finrl.config import HPOConfig
from kubetuna.finrl.shipped import document, task_experiment
from kubetuna.finrl.tuning import results_folder, tune
from kubetuna.local import runner
from kubetuna.store.database import parse_url
from kubetuna.terminal.live import progress_console


class Optimizer:
    """Tunes one task.

    Args:
        config: how the search is run; the task's quick one by default.
        metric: what is optimised; the example's objective by default.
        data: a folder of the contest's files; synthetic data by default.
        folder: where the results are left; ``hpo_experiments/TASK_hpo_results`` by default.
        verbose: whether to show progress on stderr.
        fields: any fields of the Experiment's spec, such as ``repeats=3``; they win over ``config``.
    """

    task: ClassVar[str]

    def __init__(
        self,
        config: HPOConfig | None = None,
        *,
        metric: str | None = None,
        data: str | Path | None = None,
        folder: str | Path | None = None,
        verbose: bool = True,
        **fields: Any,
    ) -> None:
        self.config = config or HPOConfig.quick(self.task)
        self.folder = Path(folder) if folder else results_folder(self.task)
        self.verbose = verbose
        self._metric, self._data, self._fields = metric, Path(data) if data else None, fields

    def experiment(self, metric: str | None = None, **fields: Any) -> Experiment:
        """The experiment as it would be run.

        Raises:
            SpecError: a field or a value that is not allowed; with every problem found.
        """
        changes = {**self.config.changes(document(self.task)["spec"]), **self._fields, **fields}
        # The pruner "none" is the absence of one, which no change of a field expresses.
        removed = ["earlyStopping=null"] if self.config.pruner_type == "none" else []
        chosen, name = metric or self._metric, self.config.study_name
        return task_experiment(self.task, self.config.config, chosen, name, self._data, removed, changes)

    def run_optimization(self, metric: str | None = None, **fields: Any) -> optuna.Study:
        """Run the search to its end, or take it up where it was; leaves a folder of results.

        Ctrl-C in the main thread stops it; the same call goes on later.

        Raises:
            KubetunaError: the experiment cannot run, or the store cannot be used.
        """
        spec, url = self.experiment(metric, **fields), runner.store_url(self.config.storage_url)
        name = self.config.study_name or spec.name
        with runner.interruptible() as interrupt:
            tune(spec, url, progress_console(self.verbose), interrupt, self.folder, name)
        storage = optuna.storages.RDBStorage(parse_url(url).render_as_string(hide_password=False))
        return optuna.load_study(study_name=name, storage=storage)


class Task1HPOOptimizer(Optimizer):
    """Tunes task 1, the ensemble that trades bitcoin::

    from kubetuna import HPOConfig, Task1HPOOptimizer

    study = Task1HPOOptimizer(HPOConfig.quick("task1"), metric="sharpe_ratio").run_optimization()
    print(study.best_params, study.best_value)
    """

    task = "task1"


class Task2HPOOptimizer(Optimizer):
    """Tunes task 2, the language model that trades on the news::

    from kubetuna import HPOConfig, Task2HPOOptimizer

    optimizer = Task2HPOOptimizer(HPOConfig.quick("task2", n_jobs=1), metric="cumulative_return")
    study = optimizer.run_optimization()
    """

    task = "task2"
