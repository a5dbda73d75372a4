"""The section on selection bias: each trial's ratio beside the best by chance, and how the best earned theirs."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from kubetuna.analysis.report.chart import Chart, Section, line, points, table
from kubetuna.analysis.report.kinds import BEST, COMPLETE, GREY
from kubetuna.analysis.report.overfitting import SERIES, SHORTEST, Luck, choice, facts, verdict
from kubetuna.analysis.report.text import esc, number, span
from kubetuna.analysis.report.view import View, thinned
from kubetuna.trials.records import TrialRecord

CURVES = 6
CURVE_POINTS = 250

LEAD = (
    "Among enough trials, one looks good by chance. These figures show whether the best trial is better than that, "
    "from the returns that each finished trial printed. A ratio is per printed return: where a trainer sums "
    "neighbours before it prints them, as the shipped ones do, it is larger here than in the trainer's own metric."
)


def section(view: View, luck: Luck | None) -> Section:
    """Whether chance alone explains the best trial."""
    title = "Selection bias"
    if luck is None:
        return Section("luck", title, "", missing=_why_not(view))
    rows = [[esc(name), f"<b>{esc(value)}</b>", esc(meaning)] for name, value, meaning in facts(luck)]
    words = f'<p class="{"good" if luck.skill else "care"}"><b>{esc(verdict(luck))}</b> {esc(choice(luck))}</p>'
    figures = table(("figure", "value", "meaning"), rows, (1,))
    return Section("luck", title, LEAD, [words, _ratios(luck), _earnings(view, luck), figures])


def _why_not(view: View) -> str:
    if view.spec.multi_objective:
        return "With several objectives there is no single best trial to test."
    if view.best is None:
        return "No trial has completed."
    return (
        f'This needs the returns of each trial: a line {{"series": "{SERIES}", "start": 0, "values": […]}} '
        f"with at least {SHORTEST} values."
    )


def _ratios(luck: Luck) -> Chart:
    low, high = luck.interval
    numbers = [n for n, _ in luck.ratios]
    ends = [min(numbers) - 0.5, max(numbers) + 0.5]
    others = [pair for pair in luck.ratios if pair[0] != luck.winner]
    best = _marks(BEST.word, [(luck.winner, luck.found.ratio)], color=BEST.colour, symbol=BEST.symbol, size=14)
    best["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - luck.found.ratio)],
        "arrayminus": [max(0.0, luck.found.ratio - low)],
        "color": BEST.colour,
    }
    data = [
        line("best by chance alone", ends, [luck.by_luck] * 2, GREY, width=2, dash="dash"),
        _marks("finished trial", others, color=COMPLETE.colour, symbol=COMPLETE.symbol, size=7, opacity=0.8),
        best,
    ]
    layout = {
        "xaxis": {"title": {"text": "trial"}, "range": ends},
        "yaxis": {"title": {"text": "Sharpe ratio per printed return"}},
    }
    alt = (
        f"Sharpe ratios of {len(luck.ratios)} trials; the best is {number(luck.found.ratio)} "
        f"({span(low, high)}), chance alone reaches {number(luck.by_luck)}."
    )
    return Chart(alt, data, layout)


def _marks(name: str, ratios: list[tuple[int, float]], **marker: Any) -> dict[str, Any]:
    hover = [f"trial {n}<br>Sharpe ratio {number(ratio)}" for n, ratio in ratios]
    return points(name, [n for n, _ in ratios], [ratio for _, ratio in ratios], hover, **marker)


def _earnings(view: View, luck: Luck) -> Chart:
    """What the best trials had earned by when, evenly over the window."""
    length = luck.found.length
    shown = [t for t in view.ranked() if len(t.series.get(SERIES, ())) == length]
    shown = sorted(shown[:CURVES], key=lambda t: t.number != luck.winner)
    data = [_curve(t, t.number == luck.winner) for t in reversed(shown)]
    layout = {
        "xaxis": {"title": {"text": "share of the evaluation window"}, "tickformat": ".0%"},
        "yaxis": {"title": {"text": "cumulative return"}, "tickformat": ".2%"},
    }
    return Chart(f"Cumulative returns of the {len(shown)} best trials over the window.", data, layout)


def _curve(trial: TrialRecord, best: bool) -> dict[str, Any]:
    sums = list(accumulate(trial.series[SERIES], initial=0.0))
    chosen = thinned(range(len(sums)), CURVE_POINTS)
    x, y = [i / (len(sums) - 1) for i in chosen], [sums[i] for i in chosen]
    name, colour = f"trial {trial.number}" + (" (best)" if best else ""), (BEST if best else COMPLETE).colour
    drawn = line(name, x, y, colour, width=2.5 if best else 1)
    return {**drawn, "opacity": 1 if best else 0.55, "hoverinfo": "name+y"}
