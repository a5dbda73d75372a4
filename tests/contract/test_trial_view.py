"""What a cluster's Trial object keeps of a trial is enough for the command line's report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubetuna.analysis.report.overfitting import luck_of, verdict
from kubetuna.trials.records import TrialRecord, from_json
from kubetuna_operator.experiment.trial_objects import _status
from tests.report.studies import SINGLE, failed_trial, study, trial
from tests.report.test_luck import with_returns


def projected(record: TrialRecord) -> TrialRecord:
    return from_json(_status(record))


def test_returns_are_kept_with_their_total_and_few_points() -> None:
    record = replace(trial(0), series={"returns": [0.001] * 999})
    again = projected(record)
    assert 200 <= len(again.series["returns"]) <= 250
    assert sum(again.series["returns"]) == pytest.approx(0.999)


def test_only_completed_trials_carry_them() -> None:
    assert not projected(replace(failed_trial(0), series={"returns": [0.1]})).series


def test_the_verdict_on_luck_is_the_same_from_a_cluster() -> None:
    for skills in ([0.0] * 20, [0.0] * 10 + [0.3] * 10):
        made = with_returns(skills)
        there = study([projected(t) for t in made.trials], SINGLE)
        here, seen = luck_of(made.view()), luck_of(there.view())
        assert here is not None and seen is not None
        assert here.skill == seen.skill and verdict(here)[:30] == verdict(seen)[:30]
