"""Katib's words for what ours show."""

from __future__ import annotations

from kubetuna_operator.katib.views import experiment_status


def test_a_trial_without_metrics_counts_once() -> None:
    """Ours counts it among the failed ones too; the SDK adds Katib's counts up."""
    ours = {"trials": 4, "trialsSucceeded": 2, "trialsFailed": 2, "trialMetricsUnavailable": 1}
    status = experiment_status(ours, [])
    assert status["trialsFailed"] == status["trialMetricsUnavailable"] == 1
    assert status["trials"] == 4 and status["trialsSucceeded"] == 2
    del ours["trialMetricsUnavailable"]
    assert experiment_status(ours, [])["trialsFailed"] == 2
