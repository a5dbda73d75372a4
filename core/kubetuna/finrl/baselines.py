"""What a result has to beat: what needs no training, measured on the same data; as checks and as closing words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.analysis.report.checks import Check
from kubetuna.analysis.report.text import finite, number
from kubetuna.analysis.report.view import View
from kubetuna.experiment.model import better
from kubetuna.experiment.units import count
from kubetuna.finrl.fold_results import WalkForward, verdict

BASELINES = ("buy_and_hold_return", "flat_return", "random_return", "untuned_return")
_OWN = ("total_return", "cumulative_return")


def own_return(metrics: Mapping[str, float]) -> float | None:
    """The trial's own return, under whichever name it printed it."""
    return next((metrics[name] for name in _OWN if name in metrics), None)


def baseline_checks(view: View) -> Iterator[Check]:
    """The best against trivial strategies that its own trial measured on the same data."""
    metrics = view.best.metrics if view.best else {}
    own = finite(own_return(metrics))
    for name in BASELINES if own is not None else ():
        other = finite(metrics.get(name))
        if other is None or own is None:
            continue
        words = name.removesuffix("_return").replace("_", " ")
        verb = "beats" if own > other else "does not beat"
        text = f"Its return of {own:+.4%} {verb} {words} ({other:+.4%}): {own - other:+.4%}."
        yield Check("good" if own > other else "care", text)


def test_checks(final: Mapping[str, Any] | None) -> Iterator[Check]:
    """What the held-out test said: the one figure that the search could not bend."""
    if final is None:
        return
    if not final.get("runs"):
        yield Check("care", "The held-out test was begun and not finished; see finalize --again.")
        return
    low, high = final["interval"]
    direction = final.get("direction", "maximize")
    beaten = all(better(direction, final["mean"], value) for value in final["baselines"].values())
    text = (
        f"On the held-out test, scored once with {count(len(final['runs']), 'seed')}: {final['metric']} "
        f"{number(final['mean'])} (95 %: {number(low)} to {number(high)})"
    )
    others = ", ".join(f"{name.replace('_', ' ')} {number(v)}" for name, v in final["baselines"].items())
    yield Check("good" if beaten else "care", f"{text}, against {others}." if others else f"{text}.")


def folds_checks(view: View, walk: WalkForward | None) -> Iterator[Check]:
    """Whether the winner leads in other stretches of time too."""
    if walk is None:
        return
    text = verdict(walk)
    if view.best is not None and view.best.number != walk.winner.trial:
        yield Check("note", f"{text} Since then trial {view.best.number} became the best.")
    elif walk.contenders:
        yield Check("care" if walk.behind else "good", text)
    else:
        yield Check("note", text)


def closing_lines(metrics: Mapping[str, float]) -> Iterator[str]:
    """By how much a trial beats the baselines that it printed itself (``*_return`` metrics)."""
    own = own_return(metrics)
    names = [name for name in BASELINES if name in metrics]
    if own is None or not names:
        return
    yield "On the validation window:"
    for name in names:
        other, words = metrics[name], name.removesuffix("_return").replace("_", " ")
        yield f"  return {own:+.4%} against {words} {other:+.4%}: {own - other:+.4%}"
