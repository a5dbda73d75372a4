"""Failures: failed trials and attempts by class, with the first message of each."""

from __future__ import annotations

from collections.abc import Sequence

from kubetuna.analysis.report.chart import Section, table
from kubetuna.analysis.report.kinds import FAILED, attempt_kind, trial_kind
from kubetuna.analysis.report.text import cut, esc
from kubetuna.analysis.report.view import View
from kubetuna.experiment.units import count

CLASS_LIMIT = 30
MESSAGE_LIMIT = 400

LEAD = (
    "A failed attempt may be retried; a trial counts as failed when its last attempt failed. The message is that "
    "of the first failure."
)

# What may help, by outcome.
ADVICE = {
    "OutOfMemory": "ask for more memory, or search smaller models and batches",
    "Crashed": "read its log",
    "Killed": "it was killed from outside; often for its memory",
    "TimedOut": "raise budget.trialTimeout, or search shorter trials",
    "MetricsUnavailable": "print the objective's metric, by the name in the experiment",
    "OtherProtocol": "its data, split or evaluation costs differ from the study's; start a new study",
    "NonFinite": "the objective was not a finite number: often the learning rate is too high",
    "StartError": "check the command and the image",
    "Infrastructure": "not the trial's fault; it is retried and not counted",
}


def section(view: View) -> Section:
    """The failures by class."""
    title = "Failures"
    found = _failures(view)
    if not found:
        words = "No attempt has failed." if view.trials else "No trial has started yet."
        return Section("failures", title, "", missing=words)
    rows = sorted((_row(name, each) for name, each in found.items()), key=lambda row: row[0])[:CLASS_LIMIT]
    heads = ("class", "failed trials", "failed attempts", "first trial", "first message", "suggestion")
    return Section("failures", title, LEAD, [table(heads, [cells for _, cells in rows], (1, 2, 3))])


def _failures(view: View) -> dict[str, list[tuple[int | None, str]]]:
    """The numbers and messages of failed trials, then the messages of their failed attempts, by outcome."""
    found: dict[str, list[tuple[int | None, str]]] = {}
    for trial in view.trials:
        if trial_kind(trial) is FAILED:
            found.setdefault(trial.outcome or "Failed", []).append((trial.number, trial.message))
        for attempt in trial.attempts:
            if attempt_kind(trial, attempt) is FAILED:
                found.setdefault(attempt.outcome or trial.outcome or "Failed", []).append((None, attempt.message))
    return found


def _row(name: str, failures: Sequence[tuple[int | None, str]]) -> tuple[tuple[int, int, str], list[str]]:
    """The place of an outcome among all, the most frequent first, and its cells."""
    trials = [number for number, _ in failures if number is not None]
    attempts = len(failures) - len(trials)
    message = next((text for _, text in failures if text), "")
    return (-len(trials), -attempts, name), [
        f"<b>{esc(cut(name, 40))}</b>",
        f"{len(trials):,}",
        f"{attempts:,}",
        str(trials[0]) if trials else "–",
        f"<code>{esc(cut(message, MESSAGE_LIMIT))}</code>" if message else "–",
        esc(ADVICE.get(name, "")),
    ]


def summary(view: View) -> str:
    """``3 of 20 trials failed (Crashed)``; empty where none did."""
    failed = [t for t in view.trials if trial_kind(t) is FAILED]
    names = sorted({t.outcome or "Failed" for t in failed})
    return f"{len(failed):,} of {count(len(view.trials), 'trial')} failed ({', '.join(names)})" if failed else ""
