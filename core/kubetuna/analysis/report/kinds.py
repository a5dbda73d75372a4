"""How trials and attempts are told apart: one kind each, with one colour, mark and line all over the page.

The colours are Okabe and Ito's, which people with any colour blindness tell apart; here stand their names, and
in the style sheet what they are by day and by night. Marks and dashes say the same again for print in grey.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubetuna.trials.outcome import Outcome
from kubetuna.trials.records import AttemptRecord, TrialRecord

BLUE, ORANGE, GREEN, VERMILLION = "blue", "orange", "green", "vermillion"
PURPLE, SKY, GREY = "purple", "sky", "grey"


@dataclass(frozen=True, slots=True)
class Kind:
    """What became of a trial, in a word, and how it is drawn."""

    word: str
    colour: str
    symbol: str
    dash: str = "solid"


COMPLETE = Kind("completed", BLUE, "circle")
BEST = Kind("best", GREEN, "star")
INFEASIBLE = Kind("violates a constraint", GREY, "circle-open")
PRUNED = Kind("pruned", ORANGE, "diamond", "dash")
FAILED = Kind("failed", VERMILLION, "x", "dot")
STOPPED = Kind("stopped", PURPLE, "square", "dashdot")
OPEN = Kind("running or waiting", SKY, "triangle-right", "longdash")

KINDS = (COMPLETE, INFEASIBLE, PRUNED, FAILED, STOPPED, OPEN)

_STOPS = frozenset((Outcome.STOPPED, Outcome.SUSPENDED, Outcome.DELETED))


def trial_kind(trial: TrialRecord) -> Kind:
    """What became of a trial; one that another writer made has a state and no outcome."""
    if trial.state in ("RUNNING", "WAITING"):
        return OPEN
    if trial.state == "COMPLETE":
        return COMPLETE if trial.feasible else INFEASIBLE
    if trial.outcome in _STOPS:
        return STOPPED
    return PRUNED if trial.state == "PRUNED" and trial.outcome != Outcome.OUT_OF_MEMORY else FAILED


def attempt_kind(trial: TrialRecord, attempt: AttemptRecord) -> Kind:
    """What became of an attempt; the last one shares its trial's fate where nothing else is known."""
    outcome = attempt.outcome
    if outcome is None:
        return trial_kind(trial) if attempt is trial.attempts[-1] else STOPPED
    if outcome == Outcome.SUCCEEDED:
        return COMPLETE
    if outcome == Outcome.PRUNED:
        return PRUNED
    return STOPPED if outcome in _STOPS else FAILED
