"""Failures: failed trials and attempts by class, with the first message of each."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from kubetuna.analysis.report.chart import Section, table
from kubetuna.analysis.report.kinds import FAILED, attempt_kind, trial_kind
from kubetuna.analysis.report.text import count, cut, esc
from kubetuna.analysis.report.view import View

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


@dataclass(slots=True)
class Failures:
    """One class of failures as it is counted."""

    trials: list[int] = field(default_factory=list)
    attempts: int = 0
    message: str = ""


def section(view: View) -> Section:
    """The failures by class."""
    title = "Failures"
    found = failures_of(view)
    if not found:
        words = "No attempt has failed." if view.trials else "No trial has started yet."
        return Section("failures", title, "", missing=words)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1].trials), -item[1].attempts, item[0]))
    rows = [_row(name, failures) for name, failures in ranked[:CLASS_LIMIT]]
    heads = ("class", "failed trials", "failed attempts", "first trial", "first message", "suggestion")
    first = min((n for f in found.values() for n in f.trials), default=None)
    command = "" if first is None else f"kubetuna logs {shlex.quote(view.spec.name)} {first}"
    hint = f"<p>Log of the first failed trial: <code>{esc(command)}</code></p>" if command else ""
    return Section("failures", title, LEAD, [table(heads, rows, (1, 2, 3)), hint])


def failures_of(view: View) -> dict[str, Failures]:
    """Failed trials and attempts by the outcome's name."""
    found: dict[str, Failures] = {}
    for trial in view.trials:
        if trial_kind(trial) is FAILED:
            entry = found.setdefault(trial.outcome or "Failed", Failures())
            entry.trials.append(trial.number)
            entry.message = entry.message or trial.message
        for attempt in trial.attempts:
            if attempt_kind(trial, attempt) is FAILED:
                entry = found.setdefault(attempt.outcome or trial.outcome or "Failed", Failures())
                entry.attempts += 1
                entry.message = entry.message or attempt.message
    return found


def _row(name: str, failures: Failures) -> list[str]:
    return [
        f"<b>{esc(cut(name, 40))}</b>",
        f"{len(failures.trials):,}",
        f"{failures.attempts:,}",
        str(failures.trials[0]) if failures.trials else "–",
        f"<code>{esc(cut(failures.message, MESSAGE_LIMIT))}</code>" if failures.message else "–",
        esc(ADVICE.get(name, "")),
    ]


def summary(view: View) -> str:
    """``3 of 20 trials failed (Crashed)``; empty where none did."""
    failed = [t for t in view.trials if trial_kind(t) is FAILED]
    names = sorted({t.outcome or "Failed" for t in failed})
    return f"{len(failed):,} of {count(len(view.trials), 'trial')} failed ({', '.join(names)})" if failed else ""
