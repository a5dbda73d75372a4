"""Repeats: further runs of one trial's parameters, each with a seed of its own, told to the study as their mean.

They run one after another in their trial's place, so the parallelism of an experiment means the same with and
without them, and a trial whose first run fails or is pruned costs no further one. Only the first run's curve goes
to the pruner, which so compares like with like; the value that the sampler learns from, and that makes a trial the
best, is the mean over all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubetuna.experiment.model import Experiment


def repeats_of(spec: Experiment, retest_of: int | None) -> int:
    """How often a trial runs: one of the search, or a re-test."""
    return spec.repeats if retest_of is None or spec.retest is None else spec.retest.repeats


def means(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric that every run has; of no runs nothing.

    A metric that one run lacks has no mean: a value made up for it would favour or punish the trial.
    """
    if not runs:
        return {}
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: sum(run[name] for run in runs) / len(runs) for name in shared}
