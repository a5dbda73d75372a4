"""The ten best trials as a table, so that the winner can be compared with those next to it."""

from __future__ import annotations

from kubetuna.analysis.report.chart import Section, table
from kubetuna.analysis.report.text import esc, number, scalar
from kubetuna.analysis.report.view import View
from kubetuna.trials.records import TrialRecord

ROWS = 10

LEAD = "Parameters on which the best trials agree are safer to keep than those on which they differ."


def section(view: View) -> Section | None:
    """The best trials of a single objective; nothing where there are not two of them."""
    ranked = view.ranked()
    if view.spec.multi_objective or len(ranked) < 2:
        return None
    names = [p.name for p in view.spec.parameters if any(p.name in t.params for t in ranked[:ROWS])]
    rows = [_row(trial, names) for trial in ranked[:ROWS]]
    heads = ("trial", view.spec.objectives[0].metric, *names)
    return Section("ranking", "The best trials", LEAD, [table(heads, rows, frozenset(range(len(heads))))])


def _row(trial: TrialRecord, names: list[str]) -> list[str]:
    cells = [esc(scalar(trial.params[n])) if n in trial.params else "–" for n in names]
    return [str(trial.number), f"<b>{esc(number((trial.values or (None,))[0]))}</b>", *cells]
