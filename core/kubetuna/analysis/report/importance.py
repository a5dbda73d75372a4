"""Which parameters mattered: PED-ANOVA over the completed trials, beside what luck alone would show.

Optuna's PED-ANOVA compares where the better trials lie with where all lie, in the region in which a
parameter exists, so a conditional parameter is neither dropped nor filled in. Its shares always add up to
one, even over pure noise; hence the same figures are computed with the results shuffled among the trials,
and a parameter that does not exceed those is drawn grey.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from kubetuna.analysis.report.view import View, sign_of, thinned, value_of
from kubetuna.experiment.model import Experiment
from kubetuna.search.space import distribution
from kubetuna.trials.records import TrialRecord

# Below that, half of the trials would be the "better" ones and the estimate says nothing.
TRIALS_NEEDED = 10
# Optuna's advice: at least five trials among the better ones, else a tenth of all.
BETTER_TRIALS = 5
BETTER_SHARE = 0.1
# Enough for a 95th percentile; each costs as much as the estimate itself.
SHUFFLES = 50
# Keeps the page of ten thousand trials within seconds.
TRIAL_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Importance:
    """One parameter: its share, the share that luck reaches, and in how many trials it exists."""

    name: str
    share: float
    luck: float
    trials: int

    @property
    def real(self) -> bool:
        """Whether it exceeds what shuffled results show nineteen times in twenty."""
        return self.share > self.luck


def importances(view: View, index: int) -> tuple[Importance, ...]:
    """The importance of each parameter for one objective, greatest first; none where it cannot be told."""
    usable = [(t, frozen) for t in view.eligible if (frozen := _frozen(view.spec, t)) is not None]
    usable = thinned(usable, TRIAL_LIMIT)
    values = np.array([sign_of(view.spec.objectives[index]) * value_of(t, index) for t, _ in usable])
    if len(usable) < TRIALS_NEEDED or np.ptp(values) == 0:
        return ()
    with _quiet():
        study = _study([frozen for _, frozen in usable])
        return _compared(study, values)


def _compared(study: optuna.Study, values: np.ndarray) -> tuple[Importance, ...]:
    raw = _evaluate(study, values)
    total = sum(raw.values())
    if not total > 0:
        return ()
    random = np.random.default_rng(0)
    shuffled = [_evaluate(study, random.permutation(values)) for _ in range(SHUFFLES)]
    trials = study.get_trials(deepcopy=False)
    return tuple(
        Importance(
            name,
            share / total,
            float(np.quantile([s[name] for s in shuffled], 0.95)) / total,
            sum(1 for t in trials if name in t.params),
        )
        for name, share in sorted(raw.items(), key=lambda item: (-item[1], item[0]))
    )


def _evaluate(study: optuna.Study, values: Sequence[float] | np.ndarray) -> Mapping[str, float]:
    quantile = min(0.5, max(BETTER_SHARE, BETTER_TRIALS / len(values)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    found = evaluator.evaluate(study, target=lambda t: float(values[t.number]))
    return {name: float(v) if np.isfinite(v) else 0.0 for name, v in found.items()}


def _frozen(spec: Experiment, trial: TrialRecord) -> FrozenTrial | None:
    """The trial in Optuna's terms; None where its parameters do not fit the search space as it is now."""
    space = {p.name: distribution(p) for p in spec.parameters if p.name in trial.params}
    params = {name: trial.params[name] for name in space}
    try:
        return create_trial(value=0.0, params=params, distributions=space) if space else None
    except (ValueError, TypeError):
        return None


def _study(trials: Sequence[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study()
    study.add_trials(trials)
    return study


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's own words: a note on every study made, warnings that the page itself explains."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
