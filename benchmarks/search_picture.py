"""The picture of a search: how the rank of the chosen point falls with the trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.contenders import DEFAULT, KATIB, OURS, RANDOM, SLOW

# By group and contender: mean and interval of the rank after each trial.
Curves = Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]]
PATH = Path(__file__).parents[1] / "docs" / "images" / "search.svg"
_COLOURS = {OURS: "#0b6e99", DEFAULT: "#d1495b", KATIB: "#c98a00", RANDOM: "#6b7280", SLOW: "#7c3aed"}
_FIRST = 5


def draw(curves: Curves, path: Path = PATH) -> None:
    """Write it, the groups side by side."""
    # The same figures make the same file.
    with matplotlib.rc_context({"svg.hashsalt": "search", "font.size": 10, "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for one, (group, by_name) in zip(axes, curves.items(), strict=True):
            _panel(one, group, by_name)
        axes[0].set_ylabel("the chosen point is in the top … of all points")
        axes[0].legend(frameon=False, loc="lower left")
        figure.savefig(path, metadata={"Date": None})


def _panel(axes: Axes, title: str, by_name: Mapping[str, Sequence[tuple[float, float, float]]]) -> None:
    for name, curve in by_name.items():
        if not curve:
            continue
        mean, low, high = zip(*curve[_FIRST - 1 :], strict=True)
        trials = range(_FIRST, len(curve) + 1)
        width = 2.2 if name == OURS else 1.4
        axes.plot(trials, mean, color=_COLOURS[name], linewidth=width, label=name)
        axes.fill_between(trials, low, high, color=_COLOURS[name], alpha=0.13, linewidth=0)
    axes.set(title=title, xlabel="trials", xscale="log", yscale="log", xticks=(5, 10, 20, 40, 100))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
