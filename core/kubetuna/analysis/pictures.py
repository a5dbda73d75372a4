"""A study as one picture for a paper or a slide: panels by matplotlib, without a browser; HTML is the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kubetuna.analysis.folder import write_report
from kubetuna.analysis.report.importance import importances
from kubetuna.analysis.report.kinds import BEST, COMPLETE, INFEASIBLE, PRUNED, Kind
from kubetuna.analysis.report.overfitting import SERIES, luck_of
from kubetuna.analysis.report.text import cut, number
from kubetuna.analysis.report.view import View, better_word, thinned, value_of, view_of
from kubetuna.errors import ResultsError
from kubetuna.experiment.field_errors import unsupported
from kubetuna.experiment.model import Objective, Parameter
from kubetuna.study.record import StudyRecord
from kubetuna.trials.records import TrialRecord

ENDINGS = (".png", ".svg", ".pdf", ".html")
# Okabe and Ito's palette, as on the page.
COLOURS = {
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "grey": "#8a8f98",
    "vermillion": "#d55e00",
}
MARKERS = {"circle": "o", "star": "*", "circle-open": "o", "diamond": "D"}
SLICES = 4
CURVES = 200
POINTS = 2000
BARS = 10

Panel = Callable[[Any, View], None]


def write_pictures(seen: StudyRecord, path: Path) -> Path:
    """Draw a study into a file; its ending says how.

    Raises:
        ResultsError: the ending is not known, or no trial has completed.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ResultsError(f"{path}: {unsupported(path.suffix, ENDINGS)}")
    view = view_of(seen.spec, seen.status, seen.trials, 0.0)
    if not view.scored:
        raise ResultsError(
            f"{view.spec.name}: no trial has completed with a valid value, so there is nothing to draw"
        )
    if path.suffix.lower() == ".html":
        return write_report(seen, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    # Without dates and random ids, so that the same study gives the same file.
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
    _figure(view).savefig(beside, format=path.suffix.lower()[1:], dpi=120, metadata=metadata)
    return beside.replace(path)


def _figure(view: View) -> Figure:
    panels = _panels(view)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4 * columns, 3.9 * rows), layout="constrained")
    figure.suptitle(_title(view), fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        panel(axis, view)
        axis.grid(alpha=0.3)
    for axis in axes[len(panels) :]:
        axis.remove()
    return figure


def _title(view: View) -> str:
    name = cut(view.spec.name, 60)
    if view.best is None:
        return f"{name}: {len(view.winners)} trials on the Pareto front"
    objective = view.spec.objectives[0]
    return f"{name}: best {objective.metric} {number(value_of(view.best))} in trial {view.best.number}"


def _panels(view: View) -> list[Panel]:
    """Only panels that have something to show."""
    found: list[Panel] = [_history]
    if view.spec.multi_objective:
        return [*found, _front]
    if any(t.steps for t in view.trials):
        found.append(_curves)
    if importances(view, 0):
        found.append(_importance)
    if luck_of(view) is not None:
        found.append(_earnings)
    return found + [_slice(p) for p in _weightiest(view)]


def _weightiest(view: View) -> list[Parameter]:
    """The parameters that matter most, else the first ones; those that were varied only."""
    order = [i.name for i in importances(view, 0)] or [p.name for p in view.spec.parameters]
    by_name = {p.name: p for p in view.spec.parameters}
    varied = [n for n in order if len({str(t.params.get(n)) for t in view.scored}) > 1]
    return [by_name[n] for n in varied[:SLICES] if n in by_name]


def _dots(axis: Any, trials: Sequence[TrialRecord], kind: Kind, x: Sequence[Any], y: Sequence[float]) -> None:
    if trials:
        hollow = kind.symbol.endswith("open")
        colour = COLOURS[kind.colour]
        face = {"facecolors": "none", "edgecolors": colour} if hollow else {"color": colour}
        size = 150 if kind is BEST else 22
        axis.scatter(x, y, marker=MARKERS[kind.symbol], s=size, label=kind.word, zorder=3, **face)


def _history(axis: Any, view: View) -> None:
    objective = view.spec.objectives[0]
    shown = thinned(view.scored, POINTS, view.winners)
    for kind, feasible in ((COMPLETE, True), (INFEASIBLE, False)):
        chosen = [t for t in shown if t.feasible is feasible]
        _dots(axis, chosen, kind, [t.number for t in chosen], [value_of(t) for t in chosen])
    best: list[TrialRecord] = []
    for trial in view.eligible:
        if objective.better(value_of(trial), value_of(best[-1]) if best else None):
            best.append(trial)
    if best:
        numbers = [*(t.number for t in best), view.trials[-1].number]
        values = [*(value_of(t) for t in best), value_of(best[-1])]
        axis.step(numbers, values, where="post", color=COLOURS["green"], label="best so far")
        _dots(axis, best[-1:], BEST, [best[-1].number], [value_of(best[-1])])
    axis.set(
        title="How the result came about", xlabel="trial", ylabel=f"{objective.metric} ({better_word(objective)})"
    )
    axis.legend(fontsize=8)


def _axis(objective: Objective) -> str:
    return f"{objective.metric} ({better_word(objective)})"


def _front(axis: Any, view: View) -> None:
    first, second = view.spec.objectives[:2]
    shown = thinned(view.scored, POINTS, view.winners)
    _dots(axis, shown, COMPLETE, [value_of(t, 0) for t in shown], [value_of(t, 1) for t in shown])
    _dots(axis, view.winners, BEST, [value_of(t, 0) for t in view.winners], [value_of(t, 1) for t in view.winners])
    axis.set(title="Trade-offs", xlabel=_axis(first), ylabel=_axis(second))


def _curves(axis: Any, view: View) -> None:
    for trial in thinned([t for t in view.trials if t.steps], CURVES, view.winners):
        best, pruned = trial in view.winners, trial.state == "PRUNED"
        kind = BEST if best else PRUNED if pruned else COMPLETE
        steps, values = zip(*trial.steps, strict=True)
        axis.plot(
            steps,
            values,
            color=COLOURS[kind.colour],
            linewidth=2.2 if best else 0.9,
            linestyle="--" if pruned else "-",
            alpha=1 if best else 0.6,
            zorder=4 if best else 2,
            marker="o" if len(steps) == 1 else None,
        )
    axis.set(title="Inside each trial (dashed: pruned)", xlabel="step", ylabel=view.spec.objectives[0].metric)


def _importance(axis: Any, view: View) -> None:
    shown = list(reversed(importances(view, 0)[:BARS]))
    names = [cut(i.name, 24) for i in shown]
    axis.barh(names, [i.share for i in shown], color=[COLOURS["blue" if i.real else "grey"] for i in shown])
    axis.plot([i.luck for i in shown], names, "|", color="black", markersize=12, label="what luck alone reaches")
    axis.set(title="Which parameters mattered (PED-ANOVA)", xlabel="share")
    axis.legend(fontsize=8)


def _earnings(axis: Any, view: View) -> None:
    luck = luck_of(view)
    assert luck is not None
    for trial in reversed([t for t in view.ranked() if len(t.series.get(SERIES, ())) == luck.found.length][:6]):
        best = trial.number == luck.winner
        sums = list(accumulate(trial.series[SERIES], initial=0.0))
        axis.plot(sums, color=COLOURS["green" if best else "blue"], linewidth=2.2 if best else 0.8)
    axis.set(
        title="Luck not excluded" if not luck.skill else "Not mere luck", xlabel="return", ylabel="summed returns"
    )
    low, high = luck.interval
    words = (
        f"Sharpe {number(luck.found.ratio)} ({number(low)} to {number(high)})\n"
        f"deflated {luck.deflated:.3f} over {luck.tried} trials, p = {luck.reality:.3f}"
    )
    axis.text(0.02, 0.97, words, transform=axis.transAxes, va="top", fontsize=8)


def _slice(parameter: Parameter) -> Panel:
    def panel(axis: Any, view: View) -> None:
        shown = [t for t in thinned(view.eligible, POINTS, view.winners) if parameter.name in t.params]
        values = [t.params[parameter.name] for t in shown]
        x = [str(v) for v in values] if parameter.choices else values
        _dots(axis, shown, COMPLETE, x, [value_of(t) for t in shown])
        if parameter.log and not parameter.choices:
            axis.set_xscale("log")
        axis.set(title=cut(parameter.name, 40), ylabel=view.spec.objectives[0].metric)

    return panel
