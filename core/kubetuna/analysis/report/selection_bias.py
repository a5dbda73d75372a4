"""The section on luck: each trial's ratio beside what luck alone would reach, and how the best earned its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from kubetuna.analysis.report.chart import Chart, Section, points, table
from kubetuna.analysis.report.kinds import BEST, COMPLETE, GREY
from kubetuna.analysis.report.overfitting import SERIES, SHORTEST, Luck, choice, facts, verdict
from kubetuna.analysis.report.text import esc, number
from kubetuna.analysis.report.view import View, thinned
from kubetuna.trials.records import TrialRecord

CURVES = 6
CURVE_POINTS = 250

LEAD = (
    "Whoever tries enough trials finds one that looks good. These figures ask whether the winner is better than "
    "that, from the returns that each finished trial printed."
)


def section(view: View, luck: Luck | None) -> Section:
    """How much of the winner is luck."""
    title = "How much of it is luck"
    if luck is None:
        return Section("luck", title, "", missing=_why_not(view))
    rows = [[esc(name), f"<b>{esc(value)}</b>", esc(meaning)] for name, value, meaning in facts(luck)]
    words = f'<p class="{"good" if luck.skill else "care"}"><b>{esc(verdict(luck))}</b> {esc(choice(luck))}</p>'
    figures = table(("figure", "value", "meaning"), rows, frozenset((1,)))
    return Section("luck", title, LEAD, [words, _ratios(luck), _earnings(view, luck), figures])


def _why_not(view: View) -> str:
    if view.spec.multi_objective:
        return "With several objectives there is no single winner to test."
    if view.best is None:
        return "No trial has completed."
    return (
        f'It takes the returns of each trial: a line {{"series": "{SERIES}", "start": 0, "values": […]}} '
        f"with at least {SHORTEST} values."
    )


def _ratios(luck: Luck) -> Chart:
    others = [(n, r) for n, r in luck.ratios if n != luck.winner]
    low, high = luck.interval
    best = points(BEST.word, [luck.winner], [luck.found.ratio], [_named(luck.winner, luck.found.ratio)],
                  color=BEST.colour, symbol=BEST.symbol, size=14)  # fmt: skip
    best["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - luck.found.ratio)],
        "arrayminus": [max(0.0, luck.found.ratio - low)],
        "color": BEST.colour,
    }
    rest = points("finished trial", [n for n, _ in others], [r for _, r in others], [_named(*o) for o in others],
                  color=COMPLETE.colour, symbol=COMPLETE.symbol, size=7, opacity=0.8)  # fmt: skip
    numbers = [n for n, _ in luck.ratios]
    span = [min(numbers) - 0.5, max(numbers) + 0.5]
    data = [_level("best by luck alone", span, luck.by_luck), *([rest] if others else []), best]
    layout = {
        "xaxis": {"title": {"text": "trial"}, "range": span},
        "yaxis": {"title": {"text": "Sharpe ratio per return"}},
    }
    alt = (
        f"Sharpe ratios of {len(luck.ratios)} trials; the best is {number(luck.found.ratio)} "
        f"({number(low)} to {number(high)}), luck alone reaches {number(luck.by_luck)}."
    )
    return Chart(alt, data, layout)


def _named(trial: int, ratio: float) -> str:
    return f"trial {trial}<br>Sharpe ratio {number(ratio)}"


def _level(name: str, span: Sequence[float], value: float) -> Mapping[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(span),
        "y": [value, value],
        "line": {"color": GREY, "width": 2, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _earnings(view: View, luck: Luck) -> Chart:
    """What the best trials had earned by when, evenly over the window."""
    length = luck.found.length
    shown = [t for t in view.ranked() if len(t.series.get(SERIES, ())) == length]
    shown = sorted(shown[:CURVES], key=lambda t: t.number != luck.winner)
    data = [_curve(t, t.number == luck.winner) for t in reversed(shown)]
    layout = {
        "xaxis": {"title": {"text": "share of the evaluation window"}, "tickformat": ".0%"},
        "yaxis": {"title": {"text": "summed returns"}, "tickformat": ".2%"},
    }
    return Chart(f"Summed returns of the {len(shown)} best trials over the window.", data, layout)


def _curve(trial: TrialRecord, best: bool) -> dict[str, Any]:
    sums = list(accumulate(trial.series[SERIES], initial=0.0))
    chosen = thinned(range(len(sums)), CURVE_POINTS)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"trial {trial.number}" + (" (best)" if best else ""),
        "x": [i / (len(sums) - 1) for i in chosen],
        "y": [sums[i] for i in chosen],
        "line": {"color": BEST.colour if best else COMPLETE.colour, "width": 2.5 if best else 1},
        "opacity": 1 if best else 0.55,
        "hoverinfo": "name+y",
    }
