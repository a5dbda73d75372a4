"""How much of the winner is luck: what its returns say once it counts how many trials were made.

It needs the series ``returns`` that a trial printed. Two tests ask the same from two sides: White's reality check
resamples the trials' own returns, so it knows how alike they are; the deflated Sharpe ratio sets the winner against
the best that so many skilless trials would show. Only where both agree is the winner called no mere luck.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kubetuna.analysis.report.text import count, number
from kubetuna.analysis.report.view import View, thinned
from kubetuna.analysis.statistics.intervals import reality_check, sharpe_interval
from kubetuna.analysis.statistics.overfitting import Overfitting, block_count, probability_of_overfitting
from kubetuna.analysis.statistics.sharpe import (
    Floats,
    Moments,
    deflated_sharpe_ratio,
    effective_trials,
    expected_best_ratio,
    moments,
    probabilistic_sharpe_ratio,
    sharpe_ratios,
)
from kubetuna.trials.records import TrialRecord

SERIES = "returns"
# Fewer returns have no ratio worth a test.
SHORTEST = 30
CONFIDENCE = 0.95
# From here on a choice by backtest is worse than a coin.
MANY_SPLITS = 0.5
PARTS = 4
# Keeps the statistics of ten thousand trials within seconds; the winner is always among them.
TRIAL_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Luck:
    """What the returns of the winner and of the other finished trials say.

    ``deflated`` takes the variance that skilless trials would show, ``deflated_strict`` that between the trials as
    they are, real differences included. ``overfitting`` is None with a single series.
    """

    winner: int
    found: Moments
    interval: tuple[float, float]
    tried: int
    compared: int
    effective: float
    by_luck: float
    probabilistic: float
    deflated: float
    deflated_strict: float
    reality: float
    overfitting: Overfitting | None
    ratios: tuple[tuple[int, float], ...]
    parts: tuple[float, ...] = ()

    @property
    def skill(self) -> bool:
        """Whether luck alone is excluded, at the usual confidence, by both tests."""
        return self.deflated >= CONFIDENCE and self.reality <= 1 - CONFIDENCE


def luck_of(view: View) -> Luck | None:
    """The luck in a study's best trial; None where its trials printed no returns, or too few."""
    best = view.best
    if best is None or len(best.series.get(SERIES, ())) < SHORTEST:
        return None
    trials = thinned(_comparable(view, len(best.series[SERIES])), TRIAL_LIMIT, (best,))
    returns = np.array([t.series[SERIES] for t in trials], dtype=np.float64).T
    return _luck(best, trials, returns, _tried(view))


def _comparable(view: View, length: int) -> list[TrialRecord]:
    return [t for t in view.eligible if len(t.series.get(SERIES, ())) == length]


def _tried(view: View) -> int:
    """Every trial whose value anybody has seen counts, pruned ones too."""
    return max(1, sum(1 for t in view.trials if t.steps or t.values))


def _luck(best: TrialRecord, trials: Sequence[TrialRecord], returns: Floats, tried: int) -> Luck:
    own = returns[:, next(i for i, t in enumerate(trials) if t is best)]
    found, ratios = moments(own), sharpe_ratios(returns)
    skilless = 1 / (len(own) - 1)
    blocks = block_count(len(own))
    return Luck(
        winner=best.number,
        found=found,
        interval=sharpe_interval(own),
        tried=tried,
        compared=len(trials),
        effective=effective_trials(returns) * tried / len(trials),
        by_luck=expected_best_ratio(skilless, tried),
        probabilistic=probabilistic_sharpe_ratio(found),
        deflated=deflated_sharpe_ratio(found, skilless, tried),
        deflated_strict=deflated_sharpe_ratio(found, float(ratios.var()), tried),
        reality=reality_check(returns),
        overfitting=probability_of_overfitting(returns, blocks) if len(trials) > 1 and blocks else None,
        parts=tuple(moments(part).ratio for part in np.array_split(own, PARTS)),
        ratios=tuple((t.number, float(r)) for t, r in zip(trials, ratios, strict=True)),
    )


def verdict(luck: Luck) -> str:
    """The one sentence that a person should read."""
    facts = (
        f"deflated Sharpe ratio {luck.deflated:.3f}, reality check p = {luck.reality:.3f}, "
        f"{count(luck.tried, 'trial')} tried"
    )
    if luck.skill:
        return f"The winner is not mere luck ({facts})."
    return f"The winner may be mere luck: so many trials without any skill would show one as good ({facts})."


def choice(luck: Luck) -> str:
    """What the choice among the finished trials is worth; empty where there was none."""
    found = luck.overfitting
    if found is None:
        return ""
    chance = (
        f"the best of them in one half of the window is below their median in the other half in "
        f"{found.probability:.0%} of {found.splits:,} splits"
    )
    if found.probability > MANY_SPLITS:
        return (
            f"The {luck.compared} finished trials cannot be told apart: {chance}. "
            "Expect of the winner what their median reached."
        )
    return f"Choosing the best of the {luck.compared} finished trials is worth something: {chance} only."


def facts(luck: Luck) -> Iterator[tuple[str, str, str]]:
    """Each figure with its name and what it means."""
    low, high = luck.interval
    yield "Sharpe ratio per return", number(luck.found.ratio), f"of {luck.found.length} returns, not annualised"
    yield "95 % interval", f"{number(low)} to {number(high)}", "stationary bootstrap"
    parts = ", ".join(f"{ratio:.3g}" for ratio in luck.parts)
    yield "by quarter of the window", parts, "a ratio that lives in one part alone is fragile"
    yield "best by luck alone", number(luck.by_luck), f"to expect of {luck.tried} trials without skill"
    yield "probabilistic Sharpe ratio", f"{luck.probabilistic:.4f}", "that the true ratio is above 0, for one trial"
    yield "deflated Sharpe ratio", f"{luck.deflated:.4f}", f"the same, heeding that {luck.tried} were tried"
    yield (
        "… with the trials' own variance",
        f"{luck.deflated_strict:.4f}",
        "stricter: real differences between trials count as luck",
    )
    yield "independent trials", number(luck.effective), f"what {luck.tried} correlated ones amount to"
    yield "reality check", f"p = {luck.reality:.3f}", "how often trials without a mean would look as good"
    if luck.overfitting is not None:
        found = luck.overfitting
        yield "overfitting (PBO)", f"{found.probability:.3f}", f"CSCV, {found.splits:,} splits; 0.5 is a coin"
        yield "loss out of sample", f"{found.loss:.3f}", "how often the chosen one loses in the other half"
