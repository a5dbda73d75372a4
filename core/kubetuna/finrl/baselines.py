"""What a result has to beat: baselines without training, measured on the same data; as checks and closing lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.analysis.report.checks import Check
from kubetuna.analysis.report.text import finite, interval_words, number
from kubetuna.analysis.report.view import View
from kubetuna.experiment.model import better
from kubetuna.experiment.units import count
from kubetuna.finrl.fold_results import WalkForward, verdict
from kubetuna.finrl.looks import known_looks, same_test
from kubetuna.study.record import StudyRecord

BASELINES = (
    "linear_return",
    "bag_of_words_return",
    "buy_and_hold_return",
    "flat_return",
    "random_return",
    "untuned_return",
)
# More would push the other checks off the page.
SHOWN_LOOKS = 3
_OWN = ("total_return", "cumulative_return")


def _compared(metrics: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
    """Each baseline that a trial printed itself, in words, with the trial's own return and the baseline's."""
    own = next((finite(metrics[name]) for name in _OWN if name in metrics), None)
    for name in BASELINES if own is not None else ():
        other = finite(metrics.get(name))
        if own is not None and other is not None:
            yield name.removesuffix("_return").replace("_", " "), own, other


def baseline_checks(view: View) -> Iterator[Check]:
    """The best against trivial strategies that its own trial measured on the same data."""
    for name, own, other in _compared(view.best.metrics if view.best else {}):
        verb = "beats" if own > other else "does not beat"
        text = f"Its return of {own:+.4%} {verb} {name} ({other:+.4%}): {own - other:+.4%}."
        yield Check("good" if own > other else "care", text)


def test_checks(final: Mapping[str, Any] | None) -> Iterator[Check]:
    """The result of the held-out test: the one figure that the search could not influence."""
    if final is None:
        return
    if not final.get("runs"):
        yield Check("care", "The held-out test was started but did not finish; see finalize --again.")
        return
    direction = str(final.get("direction") or "maximize")
    beaten = all(better(direction, final["mean"], value) for value in final["baselines"].values())
    text = (
        f"On the held-out test, scored once with {count(len(final['runs']), 'seed')}: {final['metric']} "
        f"{number(final['mean'])} ({interval_words(final)})"
    )
    others = ", ".join(f"{name.replace('_', ' ')} {number(v)}" for name, v in final["baselines"].items())
    yield Check("good" if beaten else "care", f"{text}, against {others}." if others else f"{text}.")


def looks_checks(seen: StudyRecord) -> Iterator[Check]:
    """Looks at the same held-out test by other studies: each makes it less unseen, for this study too."""
    looks = same_test(known_looks((seen.final, *seen.others.finals), None), seen)
    for look in [look for look in looks if look.uid != seen.uid][-SHOWN_LOOKS:]:
        text = f"The held-out test of the same data was scored by {look.by} in study {look.study} on {look.when}"
        yield Check("care", f"{text}: for this study it is no longer unseen.")


def folds_checks(view: View, walk: WalkForward | None) -> Iterator[Check]:
    """Whether the winner leads in other periods too."""
    if walk is None:
        return
    text = verdict(walk)
    if view.best is not None and view.best.number != walk.winner.trial:
        yield Check("note", f"{text} Since then trial {view.best.number} became the best.")
    else:
        yield Check(("care" if walk.behind else "good") if walk.contenders else "note", text)


def closing_lines(metrics: Mapping[str, float]) -> Iterator[str]:
    """By how much a trial beats the baselines that it printed itself (``*_return`` metrics)."""
    lines = [
        f"  return {own:+.4%} against {name} {other:+.4%}: {own - other:+.4%}"
        for name, own, other in _compared(metrics)
    ]
    if lines:
        yield from ("On the validation window:", *lines)
