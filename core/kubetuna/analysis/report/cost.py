"""What the search cost: trials by what became of them, the time spent, what pruning saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.analysis.report.chart import Section, card, table
from kubetuna.analysis.report.kinds import KINDS, Kind, attempt_kind, trial_kind
from kubetuna.analysis.report.text import esc, finite, number
from kubetuna.analysis.report.view import View
from kubetuna.experiment.resources import resource_units
from kubetuna.experiment.units import SECONDS_PER_HOUR, count, duration, unit_of
from kubetuna.trials.records import TrialRecord

LEAD = (
    "Time of all attempts by outcome; failed and stopped ones produced no result. The time saved by pruning is an "
    "estimate: it assumes that a pruned trial would have taken as long as the mean of the completed ones."
)


def cost_card(view: View) -> str:
    """Trials by what became of them, the time spent, and what pruning saved."""
    rows = [*_spent(view.status), _saved(view), *_forecast(view)]
    facts = "".join(f"<dt>{esc(name)}</dt><dd>{esc(text)}</dd>" for name, text in rows)
    return card("Cost", f"{_bar(view)}<dl>{facts}</dl>")


def _bar(view: View) -> str:
    """Trials by kind: a bar in CSS, and the same as words."""
    total = len(view.trials)
    if not total:
        return "<p>No trial has started.</p>"
    counts = [(kind, n) for kind in KINDS if (n := sum(1 for t in view.trials if trial_kind(t) is kind))]
    parts = "".join(f'<i style="flex:{n};background:var(--{k.colour})"></i>' for k, n in counts)
    words = "".join(
        f'<li><i style="background:var(--{k.colour})"></i><b>{n:,}</b> {esc(k.word)}</li>' for k, n in counts
    )
    limit = view.spec.max_trials
    of = f" of {limit:,} allowed" if limit is not None and not view.over else ""
    return f'<p><b>{count(total, "trial")}</b>{of}</p><div class="bar">{parts}</div><ul class="key">{words}</ul>'


def _unit_seconds(amounts: Mapping[str, Any]) -> float:
    """Seconds of the template's unit in a part of the status."""
    return (finite(amounts.get(unit_of(amounts).hours)) or 0.0) * SECONDS_PER_HOUR


def hours_text(amounts: Mapping[str, Any]) -> str:
    """``1.5 GPU-hours (1 h 30 min)``."""
    seconds = _unit_seconds(amounts)
    return f"{unit_of(amounts).amount(seconds / SECONDS_PER_HOUR)} ({duration(seconds)})"


def _spent(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    spent = status.get("spent") or {}
    wall = finite(spent.get("wallClockSeconds"))
    rows = [("spent", hours_text(spent))]
    rows += [("wall clock", duration(wall))] if wall else []
    waited, displaced = finite(spent.get("queueSeconds")), status.get("attemptsDisplaced")
    rows += [("in a queue", f"{duration(waited)}, all attempts together")] if waited else []
    rows += [("displaced", f"{count(displaced, 'attempt')}, tried again")] if displaced else []
    return [*rows, ("steps reported", number(spent.get("steps", 0)))]


def _saved(view: View) -> tuple[str, str]:
    saved = view.status.get("savedByPruning") or {}
    if not finite(saved.get("trials")):
        why = "no trial was pruned" if view.spec.pruner else "the experiment has no pruner"
        return "saved by pruning", f"nothing: {why}"
    seconds, total = _unit_seconds(saved), _unit_seconds(saved) + _unit_seconds(view.status.get("spent") or {})
    share = f", {seconds / total:.0%} of the cost without it" if total > 0 else ""
    steps = number(saved.get("steps", 0))
    return "saved by pruning", f"about {duration(seconds)} of {unit_of(saved).noun} time and {steps} steps{share}"


def _forecast(view: View) -> list[tuple[str, str]]:
    found = view.status.get("forecast")
    return [] if view.over or not found else [("expected in total", hours_text(found))]


def section(view: View) -> Section:
    """The time of the attempts by outcome."""
    title, units = "Time by outcome", resource_units(view.spec)
    spent = [(k, units * s) for trial in view.trials for k, s in _times(trial, view.generated)]
    total = sum(seconds for _, seconds in spent)
    if not total:
        return Section("cost", title, "", missing="No time has been spent yet.")
    by_kind = {kind: [s for k, s in spent if k is kind] for kind in KINDS}
    rows = [
        [esc(kind.word), f"{len(each):,}", duration(sum(each)), f"{sum(each) / total:.0%}"]
        for kind, each in by_kind.items()
        if each
    ]
    heads = ("outcome", "attempts", f"{unit_of(view.status.get('spent') or {}).noun} time", "share")
    return Section("cost", title, LEAD, [table(heads, rows, (1, 2, 3))])


def _times(trial: TrialRecord, now: float) -> Iterator[tuple[Kind, float]]:
    """How long each attempt ran; a trial without attempts, from another writer, is one."""
    last = trial.ended if trial.ended is not None else now
    ran = [(attempt_kind(trial, a), a.started, a.ended) for a in trial.attempts if a.started is not None]
    if not ran and trial.started is not None:
        ran = [(trial_kind(trial), trial.started, trial.ended)]
    for kind, start, end in ran:
        yield kind, max(0.0, (last if end is None else end) - start)
