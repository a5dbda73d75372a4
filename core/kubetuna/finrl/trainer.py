"""Training, judging and finalizing with the winner of a study."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubetuna.analysis.best_config import chosen_trial
from kubetuna.api.studies import Source, read
from kubetuna.finrl.evaluate import evaluate
from kubetuna.finrl.tuning import results_folder
from kubetuna.training.overrides import overridden
from kubetuna.training.train import Trained, seeds_of, train


class HPOIntegratedTrainer:
    """Trains with the winner of a study::

        from kubetuna import HPOIntegratedTrainer

        trainer = HPOIntegratedTrainer("hpo_experiments/task1_hpo_results")
        trainer.train("ensemble_final", learning_rate=1e-4)
        print(trainer.evaluate("ensemble_final")["metrics"])

    ``results`` is a folder of results, an Optuna study, or a store's URL with ``study_name``.

    >>> HPOIntegratedTrainer("hpo_experiments/task1_hpo_results").best_params["batch_size"]
    256
    """

    def __init__(self, results: Source | None = None, study_name: str | None = None, verbose: bool = True) -> None:
        self.results = read(results_folder("task1") if results is None else results, study_name)
        self.verbose = verbose

    @property
    def best_params(self) -> dict[str, Any]:
        """The winner's parameters."""
        return dict(chosen_trial(self.results, None).params)

    def train(
        self,
        save_path: str | Path | None = None,
        *,
        seeds: int = 1,
        trial: int | None = None,
        out_of_range: bool = False,
        trainer_args: Sequence[str] = (),
        **overrides: Any,
    ) -> list[Trained]:
        """Train a model, or with ``seeds`` several, into ``save_path``; parameters can be overridden by name.

        Raises:
            ResultsError: an unknown or out-of-range parameter, a training that failed, or a folder in use.
        """
        chosen = chosen_trial(self.results, trial)
        params = overridden(self.results.spec, chosen.params, overrides, out_of_range)
        folder = Path(save_path or f"{self.results.spec.name}_final")
        return train(
            self.results, chosen, params, folder, seeds_of(self.results, chosen, seeds), self._say, trainer_args
        )

    def evaluate(
        self, model: str | Path, data: str | Path | None = None, split: str | None = None
    ) -> Mapping[str, Any]:
        """Judge a saved model by the protocol, beside what needs no training.

        Raises:
            ResultsError: there is no model, or it does not fit the data.
        """
        return evaluate(Path(model), split, Path(data) if data else None)

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, file=sys.stderr, flush=True)
