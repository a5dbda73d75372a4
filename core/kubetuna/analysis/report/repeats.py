"""Repeated runs, which show how much chance alone moves a value: repeats of the best trials, and their re-test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubetuna.analysis.report.chart import Section, table
from kubetuna.analysis.report.text import number, span
from kubetuna.analysis.report.view import View, value_of
from kubetuna.analysis.statistics.intervals import mean_interval, overlap
from kubetuna.trials.records import TrialRecord, means

ROWS = 10
LEAD = (
    "The same parameters with other seeds. Where the intervals of two trials overlap, their order is uncertain. "
    "The value that a trial was selected for is not part of its re-test."
)


@dataclass(frozen=True, slots=True)
class Runs:
    """Further runs of one trial's parameters: the values of the objective, their mean and its 95 % interval."""

    trial: int
    chosen_at: float | None
    values: tuple[float, ...]
    mean: float
    low: float
    high: float


def runs_of(view: View) -> list[Runs]:
    """The re-tests, else the repeats of the best trials; the best by its mean first."""
    if view.spec.multi_objective:
        return []
    by_number = {t.number: t for t in view.scored}
    again = [_runs(view, t, t.retest_of, by_number.get(t.retest_of or 0)) for t in view.retests]
    found = [r for r in again if r] or [r for t in view.ranked()[:ROWS] if (r := _runs(view, t, t.number, None))]
    sign = view.spec.objectives[0].sign
    return sorted(found, key=lambda r: (sign * r.mean, r.trial))


def _runs(view: View, ran: TrialRecord, trial: int | None, chosen: TrialRecord | None) -> Runs | None:
    metric = view.spec.objectives[0].metric
    values = tuple(run[metric] for run in ran.repeats if metric in run)
    if len(values) < 2 or trial is None or ran.state != "COMPLETE":
        return None
    low, high = mean_interval(values)
    return Runs(trial, value_of(chosen) if chosen else None, values, means(ran.repeats)[metric], low, high)


def rivals(found: Sequence[Runs]) -> list[int]:
    """The trials whose interval overlaps with that of the first."""
    return [r.trial for r in found[1:] if overlap((r.low, r.high), (found[0].low, found[0].high))]


def section(view: View) -> Section | None:
    """A row a trial; nothing where each was run once."""
    found = runs_of(view)
    if not found:
        return None
    heads = ("trial", *(["in the search"] if view.retests else []), "mean", "95 % interval over seeds", "each run")
    rows = [
        [
            str(r.trial),
            *([number(r.chosen_at)] if view.retests else []),
            f"<b>{number(r.mean)}</b>",
            span(r.low, r.high),
            "  ".join(map(number, r.values)),
        ]
        for r in found
    ]
    return Section("repeated", "Repeated runs", LEAD, [table(heads, rows, range(len(heads) - 1))])
