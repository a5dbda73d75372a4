"""The pruner that needs no settings: what it stops, and above all what it does not."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from kubetuna.search.halving import HalvingPruner

LENGTH = 16


def rising(end: float, noise: float = 0.0, seed: int = 0) -> list[float]:
    """A curve that comes nearer to its end with every report."""
    drawn = np.random.default_rng(seed).normal(0, noise, LENGTH) if noise else np.zeros(LENGTH)
    return [end * (1 - 0.7**step) + float(error) for step, error in enumerate(drawn, 1)]


def study_of(curves: Iterable[Sequence[float]], direction: str = "maximize") -> optuna.Study:
    """A study of whole trials."""
    study = optuna.create_study(direction=direction, pruner=HalvingPruner())
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve, 1):
            trial.report(value, step)
        study.tell(trial, curve[-1])
    return study


def stopped_after(study: optuna.Study, curve: Sequence[float]) -> int | None:
    """After how many reports a further trial is stopped; None where it is not."""
    trial = study.ask()
    for step, value in zip(itertools.count(1), curve, strict=False):
        trial.report(value, step)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return step
    return None


ENDS = (5.0, 4.0, 6.0, 3.0, 7.0, 5.5, 4.5)


def test_a_hopeless_trial_stops_after_an_eighth_and_not_before() -> None:
    assert stopped_after(study_of(map(rising, ENDS)), rising(0.1)) == LENGTH / 8


def test_a_better_one_than_half_goes_on() -> None:
    assert stopped_after(study_of(map(rising, ENDS)), rising(6.0)) is None


def test_less_is_better_where_it_is_minimised() -> None:
    study = study_of(([-v for v in rising(end)] for end in ENDS), "minimize")
    assert stopped_after(study, [-v for v in rising(6.0)]) is None
    assert stopped_after(study, [-v for v in rising(0.1)]) == 2


def test_the_first_five_run_to_their_end() -> None:
    assert stopped_after(study_of(map(rising, ENDS[:4])), rising(-100.0)) is None


def test_where_reports_say_nothing_of_the_end_nobody_is_stopped() -> None:
    whole = [[-end] * (LENGTH - 1) + [end] for end in ENDS]
    assert stopped_after(study_of(whole), [-100.0] * LENGTH) is None


def test_noise_that_hides_the_order_stops_nobody_who_may_be_good() -> None:
    study = study_of(rising(end, 2.0, seed) for seed, end in enumerate(ENDS))
    assert stopped_after(study, rising(4.4)) is None


@pytest.mark.parametrize("curve", [[1.0] * LENGTH, [float("inf")] * LENGTH, [0.0], []])
def test_curves_that_tell_nothing_are_no_fault(curve: list[float]) -> None:
    study = study_of([[1.0] * LENGTH for _ in range(6)])
    assert stopped_after(study, curve) is None


def test_a_trial_that_reports_for_longer_than_the_others_is_judged_as_they_were() -> None:
    assert stopped_after(study_of(map(rising, ENDS)), [rising(6.0)[min(i, LENGTH - 1)] for i in range(90)]) is None
