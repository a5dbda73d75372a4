"""Whether an experiment is over, and how: a pure function of a snapshot.

Nothing about the end is stored: it follows from the counts, the spec and the clock each time, so that a
raised budget or count simply takes a finished experiment up again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kubetuna.experiment.automatic import NOISE_SHARE
from kubetuna.experiment.units import GPU, SECONDS_PER_HOUR, count, duration
from kubetuna.trials.snapshot import Snapshot, TrialView

# Where maxFailedTrialCount is not set: that many failures in a row with one message, and no success ever,
# show that the template is broken. Fewer than ten, so that a broken command does not burn ten GPUs.
IDENTICAL_FAILURES = 8


@dataclass(frozen=True, slots=True)
class StopDecision:
    """Why nothing new starts. ``stop_running``: open trials are stopped now rather than left to finish.

    ``retesting``: the search is over, and its best trials are still to be run again.
    """

    reason: str
    message: str
    stop_running: bool
    failed: bool = False
    retesting: bool = False

    def stops(self, trial: TrialView) -> bool:
        """Whether an open trial is to be stopped: a re-test outlives the end of the search."""
        return self.stop_running and not (self.retesting and trial.retest)


def is_over(snapshot: Snapshot, end: StopDecision | None) -> bool:
    """Whether an experiment with that stop decision has nothing left to do, the re-test included."""
    return end is not None and not end.retesting and not snapshot.trials


def stop_decision(snapshot: Snapshot, now: float) -> StopDecision | None:
    """The first rule that ends the experiment, in the order in which Katib and then ours are checked.

    What only ends the search leaves room for the re-test; budgets, failures and a person's word do not.
    """
    end = _first(snapshot, now)
    if end is None or not (snapshot.retests_due or any(t.retest for t in snapshot.trials)):
        return end
    hard = _broken(snapshot) or _asked(snapshot) or _failures(snapshot) or _budget(snapshot, now)
    return hard or replace(end, retesting=True)


def _first(snapshot: Snapshot, now: float) -> StopDecision | None:
    return (
        _broken(snapshot)
        or _asked(snapshot)
        or _goal(snapshot)
        or _failures(snapshot)
        or _budget(snapshot, now)
        or _stagnation(snapshot)
        or _regret(snapshot)
        or _counts(snapshot)
    )


def _broken(snapshot: Snapshot) -> StopDecision | None:
    tally = snapshot.tally
    if snapshot.unsearchable:
        return StopDecision("SearchExhausted", snapshot.unsearchable, stop_running=True, failed=True)
    if tally.start_errors:
        return StopDecision("TemplateCannotStart", tally.last_failure, stop_running=True, failed=True)
    return None


def _asked(snapshot: Snapshot) -> StopDecision | None:
    if snapshot.deleted:
        return StopDecision("ExperimentDeleted", "the Experiment was deleted", stop_running=True)
    if snapshot.spec.shutdown:
        return StopDecision("ExperimentShutdown", "spec.shutdown is true", stop_running=True)
    return None


def _goal(snapshot: Snapshot) -> StopDecision | None:
    if not snapshot.tally.goal_reached:
        return None
    return StopDecision("ExperimentGoalReached", "the objective's goal is reached", stop_running=True)


def _failures(snapshot: Snapshot) -> StopDecision | None:
    limit, tally = snapshot.spec.max_failed, snapshot.tally
    if limit is not None and tally.failed and tally.failed >= limit:
        text = f"{tally.failed} trials failed, spec.maxFailedTrialCount is {limit}; last: {tally.last_failure}"
        return StopDecision("ExperimentFailed", text, stop_running=True, failed=True)
    if limit is None and tally.identical_failures >= IDENTICAL_FAILURES:
        text = f"{tally.identical_failures} trials in a row failed alike: {tally.last_failure}"
        return StopDecision("IdenticalFailures", text, stop_running=True, failed=True)
    return None


def _budget(snapshot: Snapshot, now: float) -> StopDecision | None:
    budget = snapshot.spec.budget
    if budget.gpu_hours is not None:
        spent = snapshot.spent(now) / SECONDS_PER_HOUR
        if spent >= budget.gpu_hours:
            text = f"{GPU.amount(spent)} are spent, of {GPU.amount(budget.gpu_hours)} (spec.budget.gpuHours)"
            return StopDecision("BudgetExhausted", text, stop_running=True)
    limit = budget.wall_clock
    if limit is not None and snapshot.started and now - snapshot.started >= limit:
        text = f"spec.budget.wallClock of {duration(limit)} is over"
        return StopDecision("BudgetExhausted", text, stop_running=True)
    return None


def _stagnation(snapshot: Snapshot) -> StopDecision | None:
    limit, tally = snapshot.spec.stop_when.no_improvement, snapshot.tally
    if limit is not None and tally.since_improvement >= limit:
        return StopDecision("NoImprovement", f"no better value in {limit} trials", stop_running=True)
    return None


def _regret(snapshot: Snapshot) -> StopDecision | None:
    limit, seen = snapshot.spec.stop_when.regret, snapshot.outlook
    if limit is None or seen is None:
        return None
    if isinstance(limit, str):
        little, than = seen.share < NOISE_SHARE, f"{NOISE_SHARE:g} of the noise, which is {seen.noise:.3g}"
    else:
        little, than = seen.gain < limit, f"spec.stopWhen.regret {limit:g}"
    text = f"after {seen.trials} complete trials another one is expected to gain {seen.gain:.3g}, less than {than}"
    return StopDecision("LittleToGain", text, stop_running=True) if little else None


def _counts(snapshot: Snapshot) -> StopDecision | None:
    limit, tally = trials_allowed(snapshot), snapshot.tally
    if limit is not None and tally.numbered >= limit:
        aside = (snapshot.spec.max_trials or 0) - limit
        made = f"{count(tally.numbered, 'trial')} {'was' if tally.numbered == 1 else 'were'} made"
        text = f"{made}{f', {aside} set aside for a re-test' if aside else ''}"
        return StopDecision("ExperimentMaxTrialsReached", text, stop_running=False)
    if snapshot.exhausted:
        return StopDecision("SearchSpaceExhausted", "every point of the search space was tried", stop_running=False)
    return None


def trials_allowed(snapshot: Snapshot) -> int | None:
    """How many trials the search may make: less what a re-test may cost, until noise is known to be low."""
    spec = snapshot.spec
    aside = 0 if snapshot.noisy is False else spec.set_aside
    return None if spec.max_trials is None else spec.max_trials - aside
