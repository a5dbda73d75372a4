"""Selection bias: what the returns of the best trial are worth once the number of trials is taken into account.

It needs the series ``returns`` that a trial printed. Two tests ask the same from two sides: White's reality check
resamples the trials' own returns, so it knows how alike they are; the deflated Sharpe ratio compares the best trial
with the best of as many skilless ones. Only where both agree is chance ruled out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kubetuna.analysis.report.text import number, span
from kubetuna.analysis.report.view import View, thinned
from kubetuna.analysis.statistics import sharpe
from kubetuna.analysis.statistics.intervals import reality_check, sharpe_interval
from kubetuna.analysis.statistics.overfitting import Overfitting, block_count, probability_of_overfitting
from kubetuna.analysis.statistics.sharpe import Floats, Moments, moments, sharpe_ratios
from kubetuna.experiment.units import count
from kubetuna.trials.records import TrialRecord

SERIES = "returns"
# Fewer returns have no ratio worth a test.
SHORTEST = 30
CONFIDENCE = 0.95
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
        """Whether both tests rule out chance alone, at the usual confidence."""
        return self.deflated >= CONFIDENCE and self.reality <= 1 - CONFIDENCE

    @property
    def told_apart(self) -> bool:
        """Whether the finished trials differ by more than trials that are equally good would seem to."""
        return self.overfitting is not None and self.overfitting.chance <= 1 - CONFIDENCE


def luck_of(view: View) -> Luck | None:
    """The selection bias in a study's best trial; None where its trials printed no returns, or too few."""
    best = view.best
    if best is None or len(best.series.get(SERIES, ())) < SHORTEST:
        return None
    comparable = [t for t in view.eligible if len(t.series.get(SERIES, ())) == len(best.series[SERIES])]
    trials = thinned(comparable, TRIAL_LIMIT, (best,))
    returns = np.array([t.series[SERIES] for t in trials], dtype=np.float64).T
    return _luck(best, trials, returns, _tried(view))


def _tried(view: View) -> int:
    """Every trial whose value was seen counts, pruned ones and those of other studies on the same data too."""
    return max(1, view.alike + sum(1 for t in view.trials if t.steps or t.values))


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
        effective=sharpe.effective_trials(returns) * tried / len(trials),
        by_luck=sharpe.expected_best_ratio(skilless, tried),
        probabilistic=sharpe.probabilistic_sharpe_ratio(found),
        deflated=sharpe.deflated_sharpe_ratio(found, skilless, tried),
        deflated_strict=sharpe.deflated_sharpe_ratio(found, float(ratios.var()), tried),
        reality=reality_check(returns, tried=tried),
        overfitting=probability_of_overfitting(returns, blocks) if len(trials) > 1 and blocks else None,
        parts=tuple(moments(part).ratio for part in np.array_split(own, PARTS)),
        ratios=tuple((t.number, float(r)) for t, r in zip(trials, ratios, strict=True)),
    )


def verdict(luck: Luck) -> str:
    """The result in one sentence."""
    facts = (
        f"deflated Sharpe ratio {luck.deflated:.3f}, reality check p = {luck.reality:.3f}, "
        f"{count(luck.tried, 'trial')} tried"
    )
    if luck.skill:
        return f"Chance alone does not explain the best trial ({facts})."
    return f"The best trial may be due to chance: as many trials without skill would show one as good ({facts})."


def choice(luck: Luck) -> str:
    """What the choice among the finished trials is worth; empty where there was none."""
    found = luck.overfitting
    if found is None:
        return ""
    chance = (
        f"the best in one half of the window is below the median in the other half in {found.probability:.0%} of "
        f"{found.splits:,} splits, and trials that do not differ would do as well in {found.chance:.0%} of cases"
    )
    if not luck.told_apart:
        return (
            f"The {luck.compared} finished trials cannot be told apart: {chance}. "
            "Expect the best to do no better than their median."
        )
    return f"Selecting the best of the {luck.compared} finished trials is meaningful: {chance}."


def facts(luck: Luck) -> Iterator[tuple[str, str, str]]:
    """Each figure with its name and what it means."""
    yield "Sharpe ratio per return", number(luck.found.ratio), f"of {luck.found.length} returns, not annualised"
    yield "95 % interval", span(*luck.interval), "stationary bootstrap"
    parts = ", ".join(f"{ratio:.3g}" for ratio in luck.parts)
    yield "by quarter of the window", parts, "a ratio that comes from one part alone is fragile"
    yield "best by chance alone", number(luck.by_luck), f"expected of {luck.tried} trials without skill"
    yield "probabilistic Sharpe ratio", f"{luck.probabilistic:.4f}", "probability that the true ratio is above 0"
    yield "deflated Sharpe ratio", f"{luck.deflated:.4f}", f"the same, given that {luck.tried} were tried"
    yield (
        "… with the trials' own variance",
        f"{luck.deflated_strict:.4f}",
        "stricter: real differences between trials count as chance",
    )
    yield "independent trials", number(luck.effective), f"equivalent of {luck.tried} correlated ones"
    given_up = f", {luck.tried - luck.compared} without returns counted" if luck.tried > luck.compared else ""
    yield (
        "reality check",
        f"p = {luck.reality:.3f}",
        f"how often trials without a mean would look as good{given_up}",
    )
    if luck.overfitting is not None:
        found = luck.overfitting
        yield "overfitting (PBO)", f"{found.probability:.3f}", f"CSCV, {found.splits:,} splits"
        yield (
            "… of equal trials",
            f"p = {found.chance:.3f}",
            "how often trials that do not differ have as small a one",
        )
        yield "loss out of sample", f"{found.loss:.3f}", "how often the selected trial loses in the other half"
