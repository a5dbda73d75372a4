"""What the verbs after a search print: studies beside each other, models beside what they must beat, the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.table import Table

from kubetuna.analysis.report.text import interval_words
from kubetuna.analysis.statistics.intervals import Chances
from kubetuna.experiment.units import count
from kubetuna.terminal.tables import clean, number

if TYPE_CHECKING:
    from kubetuna.analysis.comparison import Comparison
    from kubetuna.finrl.fold_results import WalkForward
    from kubetuna.training.retest import Retested

INTERVALS = ("95 % interval", "market alone", "training alone")


def comparison_table(found: Comparison) -> Table:
    """A row a study, the most promising first."""
    size = found.studies[0].of
    table = Table(title=clean(f"{found.metric} ({found.direction})"), title_justify="left", box=None)
    table.add_column("study", overflow="fold", min_width=12)
    for name in ("done", "best", "trial", "median", f"of {size}", "95 % interval", "chance"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.studies:
        chance = "leads" if one is found.studies[0] else f"{one.chance:.1%}"
        table.add_row(
            clean(one.study),
            str(one.completed),
            _short(one.best),
            str(one.best_trial),
            _short(one.median),
            _short(one.likely),
            f"{one.low:.3g} to {one.high:.3g}",
            chance,
        )
    return table


def _short(value: float) -> str:
    return f"{value:.4g}"


def evaluation_table(found: Mapping[str, Any]) -> Table:
    """A model's figures above those of what needs no training."""
    seeds = f", mean of {len(found['runs'])} seeds" if len(found["runs"]) > 1 else ""
    fold = f", fold {found['fold']}" if "fold" in found else ""
    title = f"{found['model']} on {found.get('data', 'its data')}{fold}{seeds}"
    table = Table(title=clean(title), title_justify="left", box=None)
    names = list(found["metrics"])
    table.add_column("")
    for name in names:
        table.add_column(clean(name), justify="right")
    for row, figures in {"model": found["metrics"], **found["baselines"]}.items():
        cells = [number(figures[name]) if name in figures else "" for name in names]
        table.add_row(row.replace("_", " "), *cells, style="bold" if row == "model" else "")
    return table


def retest_table(metric: str, ranked: Sequence[Retested]) -> Table:
    """A row per configuration, the best by its mean first."""
    table = Table(title=clean(f"{metric} on validation data"), title_justify="left", box=None)
    for name in ("trial", "in the search", "mean", *INTERVALS, "each seed"):
        table.add_column(name, justify="right")
    for one in ranked:
        each = "  ".join(_short(v) for v in one.values)
        table.add_row(str(one.trial), _short(one.value), _short(one.mean), *_intervals(one.chances), each)
    return table


def walkforward_table(walk: WalkForward) -> Table:
    """A row per trial, then one per baseline; a column per fold."""
    table = Table(title=clean(f"{walk.metric} on the block of each fold"), title_justify="left", box=None)
    table.add_column("", no_wrap=True)
    for name in ("mean", *INTERVALS, "worst", *(f"fold {n}" for n in range(1, len(walk.blocks) + 1))):
        table.add_column(name, justify="right", overflow="fold")
    rows = [(f"trial {one.trial}", one.values, one.chances) for one in walk.trials]
    baselines = {n: tuple(b.baselines[n] for b in walk.blocks) for n in walk.contenders}
    rows += [(name.replace("_", " "), values, Chances()) for name, values in baselines.items()]
    for name, values, found in rows:
        cells = [f"{value:.3g}" for value in (fmean(values), walk.worst(values), *values)]
        style = "bold" if name == f"trial {walk.winner.trial}" else ""
        table.add_row(name, cells[0], *_intervals(found), *cells[1:], style=style)
    return table


def _intervals(found: Chances) -> list[str]:
    """Those of both kinds of chance together, and of each alone."""
    known = (found.shown, found.market, found.training)
    return [f"{one[0]:.3g} to {one[1]:.3g}" if one else "" for one in known]


def final_text(done: Mapping[str, Any]) -> str:
    """What the held-out test said."""
    metric, seeds = done["metric"], len(done["runs"])
    lines = [
        f"Held-out test, trial {done['trial']}, {count(seeds, 'seed')}:",
        f"  {metric} = {number(done['mean'])} ({interval_words(done)})",
        *(f"  {name.replace('_', ' '):<14} {number(value)}" for name, value in done["baselines"].items()),
    ]
    won, mean = done["validation"]["winner"], done["validation"]["mean"]
    if won is not None and mean is not None:
        lines.append(f"On validation the winner had {number(won)}; trained again, {number(mean)} on average.")
    if done["looks"] > 1:
        lines.append(f"This was look number {done['looks']} at the test: it is no longer unseen.")
    return "\n".join(lines)
