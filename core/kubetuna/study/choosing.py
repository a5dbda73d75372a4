"""Which trial wins, and whether the best are to be run again for it: decided by what is stored and nothing else.

With ``retest: auto`` a search pauses once the trials that are not set aside are told. Where chance moves their
values far, the best by what a Gaussian process expects are run again in place of the others; where it does not, the
search goes on. The winner is the best by what all runs together say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kubetuna.experiment.automatic import FIRST_OUTLOOK, OUTLOOK_EVERY
from kubetuna.experiment.model import Experiment, Retest
from kubetuna.experiment.units import unit_of
from kubetuna.planning.status import OVER
from kubetuna.planning.stopping import stop_decision, trials_allowed
from kubetuna.search.gaussian.belief import choice_of, outlook_of
from kubetuna.trials.choice import Assessment, Choice
from kubetuna.trials.progress import OPEN_STATES, Progress
from kubetuna.trials.records import TrialRecord
from kubetuna.trials.snapshot import Snapshot

NAMED = 10
# What was measured: five of three runs each.
OFFERED = Retest(5, 3)


def weighed(
    snapshot: Snapshot, now: float, progress: Progress, trials: Callable[[], Sequence[TrialRecord]]
) -> Snapshot:
    """The snapshot with what trials say of their noise; ``progress`` keeps the assessment until another ends."""
    snapshot, again = _looked_ahead(snapshot, progress, trials), snapshot.spec.retest
    if again is None or not again.auto or stop_decision(snapshot, now) is None:
        return snapshot
    told = (snapshot.tally, len(snapshot.trials), again)
    if progress.assessment.told != told:
        progress.assessment = _assessment(snapshot, told, trials())
    return replace(snapshot, noisy=progress.assessment.noisy, retests_due=progress.due())


def _looked_ahead(snapshot: Snapshot, progress: Progress, trials: Callable[[], Sequence[TrialRecord]]) -> Snapshot:
    """With what further trials may gain, by those that completed first: the cost of asking is bounded."""
    complete = snapshot.tally.complete // OUTLOOK_EVERY * OUTLOOK_EVERY
    if snapshot.spec.stop_when.regret is None or complete < FIRST_OUTLOOK:
        return snapshot
    if progress.outlook.trials != complete:
        done = [t for t in trials() if t.state == "COMPLETE" and t.retest_of is None]
        first = sorted(done, key=lambda t: (t.ended or 0.0, t.number))[:complete]
        progress.outlook = outlook_of(snapshot.spec, first)
    return replace(snapshot, outlook=progress.outlook)


def _assessment(snapshot: Snapshot, told: object, trials: Sequence[TrialRecord]) -> Assessment:
    spec, top = snapshot.spec, snapshot.spec.retest.top if snapshot.spec.retest else 0
    searched = [t for t in trials if t.retest_of is None]
    allowed = trials_allowed(snapshot)
    if allowed is not None:
        searched = [t for t in searched if (t.ordinal or 0) < allowed]
    if any(t.state in OPEN_STATES for t in searched):
        return Assessment(told)
    judged, found = choice_of(spec, searched), choice_of(spec, trials)
    noisy = judged is not None and judged.noisy and top > 0
    nominated = judged.ranked[:top] if judged is not None and noisy else ()
    return Assessment(told, noisy, nominated, None if found is None else _shown(found, trials))


def _shown(choice: Choice, trials: Sequence[TrialRecord]) -> TrialRecord:
    """The winner as it is shown: by its re-test, whose value no choice has favoured, where there is one."""
    again = [t for t in trials if t.retest_of == choice.winner and t.state == "COMPLETE"]
    return next(iter(again or [t for t in trials if t.number == choice.winner]))


def with_choice(spec: Experiment, status: Mapping[str, Any], trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """The status of an experiment that is over, with how sure the choice of its winner is."""
    found = choice_of(spec, [t for t in trials if t.own]) if status.get("state") in OVER else None
    if found is None:
        return dict(status)
    shown = {
        "trial": found.winner,
        "expected": found.expected,
        "observedBest": found.observed,
        "noise": "high" if found.noisy else "low",
        "alike": list(found.ranked[: min(found.alike, NAMED)]),
        "text": _sentence(spec, status, found),
    }
    return {**status, "choice": shown}


def _sentence(spec: Experiment, status: Mapping[str, Any], found: Choice) -> str:
    if found.alike < 2:
        return f"trial {found.winner} is ahead of all others"
    text = f"the first {found.alike:,} cannot be told apart"
    if not found.noisy:
        return f"{text}, but chance moves a value little: a re-test would gain little"
    if status.get("trialsRetested"):
        return f"{text}, even by their re-test"
    spent, runs = status["spent"], max(1, status["trials"]) * spec.repeats
    unit, top = unit_of(spent), min(found.alike, OFFERED.top)
    hours = unit.amount(spent[unit.hours] / runs * top * OFFERED.repeats)
    return f"{text}; retest: {{top: {top}, repeats: {OFFERED.repeats}}} would cost about {hours}"
