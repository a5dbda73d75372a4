"""The samplers and pruners by their names here, with what may be set on each and in which range.

Types come from Optuna's own signatures (``kubetuna.search.settings``); ranges are ours, since Optuna checks
few of them, and some only in mid-run. Katib's names for the same things are aliases.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning

from kubetuna.experiment.automatic import AUTO
from kubetuna.experiment.model import Algorithm, Experiment
from kubetuna.search.gaussian.sampler import GaussianProcessSampler
from kubetuna.search.halving import FEWEST, HalvingPruner


@dataclass(frozen=True, slots=True)
class Range:
    """Allowed values of a setting: numbers between bounds, or one of a few words."""

    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.words:
            return "one of " + ", ".join(self.words)
        if self.low is not None and self.high is not None:
            return f"between {self.low:g} and {self.high:g}"
        return f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"

    def holds(self, value: Any) -> bool:
        """Whether a value of the right type is allowed."""
        if self.words:
            return value in self.words
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Entry:
    """One sampler or pruner: its class, ranges of what may be set, defaults of ours, extra needs."""

    target: type
    ranges: Mapping[str, Range] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    integers: tuple[str, ...] = ()


COUNT = Range(low=0)
POSITIVE = Range(low=1)
FRACTION = Range(low=0, high=1)
SEED = Range(low=0, high=2**32 - 1)
ANY = Range(low=-1e300, high=1e300)
FLAG = Range(low=0, high=1)

_GENETIC = {
    "population_size": Range(low=2),
    "mutation_prob": FRACTION,
    "crossover_prob": FRACTION,
    "swapping_prob": FRACTION,
}

SAMPLERS: Mapping[str, Entry] = {
    # Which of the others proposes a trial is decided trial by trial; each with its usual settings.
    AUTO: Entry(GaussianProcessSampler, renamed={"random_state": "seed"}),
    "random": Entry(optuna.samplers.RandomSampler, renamed={"random_state": "seed"}),
    "tpe": Entry(
        optuna.samplers.TPESampler,
        {
            "n_startup_trials": COUNT,
            "n_ei_candidates": POSITIVE,
            "multivariate": FLAG,
            "group": FLAG,
            "constant_liar": FLAG,
        },
        renamed={"random_state": "seed", "n_EI_candidates": "n_ei_candidates"},
    ),
    "gp": Entry(
        GaussianProcessSampler,
        {"n_startup_trials": COUNT, "deterministic_objective": FLAG},
        renamed={"random_state": "seed", "n_initial_points": "n_startup_trials"},
    ),
    "cmaes": Entry(
        optuna.samplers.CmaEsSampler,
        {
            "sigma0": Range(low=1e-12),
            "n_startup_trials": COUNT,
            "popsize": Range(low=2),
            "consider_pruned_trials": FLAG,
            "use_separable_cma": FLAG,
            "with_margin": FLAG,
            "lr_adapt": FLAG,
        },
        needs=("cmaes",),
        renamed={"random_state": "seed", "sigma": "sigma0"},
    ),
    "nsgaii": Entry(optuna.samplers.NSGAIISampler, _GENETIC, renamed={"random_state": "seed"}),
    "nsgaiii": Entry(
        optuna.samplers.NSGAIIISampler,
        {**_GENETIC, "dividing_parameter": POSITIVE},
        renamed={"random_state": "seed"},
    ),
    "grid": Entry(optuna.samplers.GridSampler, renamed={"random_state": "seed"}),
    "qmc": Entry(
        optuna.samplers.QMCSampler,
        {"qmc_type": Range(words=("sobol", "halton")), "scramble": FLAG},
        needs=("scipy",),
        renamed={"random_state": "seed"},
    ),
    "bruteforce": Entry(optuna.samplers.BruteForceSampler, renamed={"random_state": "seed"}),
}

SAMPLER_ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sobol": ("qmc", {"qmc_type": "sobol"}),
    "bayesianoptimization": ("gp", {}),
    "multivariate-tpe": ("tpe", {"multivariate": True}),
}

_STEPS = {"n_startup_trials": COUNT, "n_warmup_steps": COUNT, "interval_steps": POSITIVE, "n_min_trials": POSITIVE}

PRUNERS: Mapping[str, Entry] = {
    "auto": Entry(HalvingPruner, {"n_startup_trials": Range(low=FEWEST), "caution": Range(low=0)}),
    "none": Entry(optuna.pruners.NopPruner),
    "median": Entry(
        optuna.pruners.MedianPruner,
        _STEPS,
        renamed={"min_trials_required": "n_startup_trials", "start_step": "n_warmup_steps"},
    ),
    "percentile": Entry(optuna.pruners.PercentilePruner, {"percentile": Range(low=0, high=100), **_STEPS}),
    "asha": Entry(
        optuna.pruners.SuccessiveHalvingPruner,
        {
            "min_resource": POSITIVE,
            "reduction_factor": Range(low=2),
            "min_early_stopping_rate": COUNT,
            "bootstrap_count": COUNT,
        },
        # Optuna's "auto" is estimated from what has run and changes with a restart.
        defaults={"min_resource": 1},
        integers=("min_resource",),
    ),
    "hyperband": Entry(
        optuna.pruners.HyperbandPruner,
        {
            "min_resource": POSITIVE,
            "max_resource": POSITIVE,
            "reduction_factor": Range(low=2),
            "bootstrap_count": COUNT,
        },
        # As many as the reports of the shipped trainers; "auto" would move trials between brackets.
        defaults={"max_resource": 20},
        integers=("max_resource",),
    ),
    "patient": Entry(optuna.pruners.PatientPruner, {"patience": COUNT, "min_delta": Range(low=0)}),
    "threshold": Entry(
        optuna.pruners.ThresholdPruner,
        {"lower": ANY, "upper": ANY, "n_warmup_steps": COUNT, "interval_steps": POSITIVE},
    ),
    "wilcoxon": Entry(
        optuna.pruners.WilcoxonPruner,
        {"p_threshold": FRACTION, "n_startup_steps": COUNT},
        needs=("scipy",),
    ),
}

PRUNER_ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "medianstop": ("median", {"n_startup_trials": 3, "n_warmup_steps": 4}),
    "successivehalving": ("asha", {}),
}

# Katib's settings that have no counterpart in Optuna 5, and what to do instead.
WITHOUT_COUNTERPART: Mapping[str, str] = {
    "gamma": "Optuna chooses it from the number of trials",
    "prior_weight": "Optuna 5 fixes it",
    "base_estimator": "only Gaussian processes are offered",
    "acq_func": "it is the expected improvement",
    "acq_optimizer": "the sampler chooses it",
    "restart_strategy": "Optuna 5 has moved restarts out of its CMA-ES",
}


def build_pruner(experiment: Experiment) -> optuna.pruners.BasePruner | None:
    """The experiment's pruner; None where nothing is pruned."""
    if experiment.pruner is None or experiment.pruner.name == "none":
        return None
    return _pruner(experiment.pruner)


def _pruner(algorithm: Algorithm) -> optuna.pruners.BasePruner:
    settings: dict[str, Any] = dict(algorithm.settings)
    if algorithm.name == "patient":
        inner: Algorithm = settings.pop("wrapped_pruner")
        settings["wrapped_pruner"] = None if inner.name == "none" else _pruner(inner)
    with warnings.catch_warnings():
        # Optuna says of some that they are experimental; who names one has chosen it.
        warnings.simplefilter("ignore", ExperimentalWarning)
        pruner: optuna.pruners.BasePruner = PRUNERS[algorithm.name].target(**settings)
    return pruner
