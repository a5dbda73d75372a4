"""The search where nobody chose one, ``auto``: which sampler proposes which trial, and why, in one sentence.

A Gaussian process makes the most of few trials, and TPE of many. Who proposes a trial follows from its number and
from what cannot be edited, so a restart, or an edit of the trials to make, changes nothing.
"""

from __future__ import annotations

from kubetuna.experiment.model import Experiment, Retest
from kubetuna.experiment.units import count

AUTO = "auto"
PROCESS, TREES = "gp", "tpe"
# The trial from which on there is enough to learn from for what costs less.
HANDED_OVER = 100
# Of more parameters a process learns too little before that.
WIDEST = 30

# Of the runs that maxTrialCount allows, in percent: what a re-test of its own accord may cost.
RETEST_SHARE = 15
LEAST_RETEST, MOST_CANDIDATES, FEW_RUNS = 4, 10, 3

# When it is asked what further trials may gain, and of the noise what they must promise; smaller than that no gain
# would be seen.
FIRST_OUTLOOK, OUTLOOK_EVERY, NOISE_SHARE = 20, 10, 0.1


def retest_within(runs: int) -> Retest:
    """A re-test that takes its share of so many runs: three each of up to ten trials, then more; perhaps none."""
    share = runs * RETEST_SHARE // 100
    if share < LEAST_RETEST:
        return Retest(top=0, auto=True)
    top = min(MOST_CANDIDATES, max(2, share // FEW_RUNS))
    return Retest(top, share // top, auto=True)


def retest_sentence(spec: Experiment) -> str | None:
    """What ``retest: auto`` will do; None where it was not asked for."""
    again, trials = spec.retest, spec.max_trials or 0
    if again is None or not again.auto:
        return None
    if not again.top:
        return f"auto: none, since {RETEST_SHARE} % of {count(trials, 'trial')} is too little for one"
    searched = trials - spec.set_aside
    return (
        f"auto: after {count(searched, 'trial')}, where noise is high, the best {again.top} again, {again.repeats} "
        f"seeds each, in place of the last {count(spec.set_aside, 'trial')}"
    )


def sampler_of(spec: Experiment, number: int) -> str:
    """The name of the sampler that proposes the trial of this number."""
    if spec.algorithm.name != AUTO:
        return spec.algorithm.name
    return PROCESS if number < HANDED_OVER and not _out_of_reach(spec) else TREES


def search_sentence(spec: Experiment) -> str | None:
    """What ``auto`` does and why; None where the sampler was named."""
    if spec.algorithm.name != AUTO:
        return None
    reasons = [_out_of_reach(spec) or count(len(spec.parameters), "parameter")]
    reasons += [count(len(spec.objectives), "objective")] if spec.multi_objective else []
    reasons.append("no limit of trials" if spec.max_trials is None else count(spec.max_trials, "trial"))
    if any(c.over == "metrics" for c in spec.constraints):
        reasons.append("what violates a constraint over metrics is avoided")
    return f"{_stages(spec)}: {', '.join(reasons)}"


def regret_sentence(spec: Experiment) -> str | None:
    """When ``stopWhen.regret`` ends the search; None where it was not asked for."""
    limit = spec.stop_when.regret
    if limit is None:
        return None
    than = f"{NOISE_SHARE:g} of the noise" if isinstance(limit, str) else f"{limit:g}"
    return (
        f"once another trial is expected to gain less than {than}, asked after {FIRST_OUTLOOK} complete trials and "
        f"every {OUTLOOK_EVERY} more"
    )


def _out_of_reach(spec: Experiment) -> str:
    """Why the process proposes nothing; empty where it does."""
    parameters, conditional = len(spec.parameters), sum(p.when is not None for p in spec.parameters)
    if conditional:
        return f"{conditional} of {count(parameters, 'parameter')} with a condition"
    return f"{parameters} parameters, more than {WIDEST}" if parameters > WIDEST else ""


def _stages(spec: Experiment) -> str:
    if _out_of_reach(spec):
        return "TPE"
    if spec.max_trials is not None and spec.max_trials <= HANDED_OVER:
        return "Gaussian process"
    return f"Gaussian process until trial {HANDED_OVER}, then TPE"
