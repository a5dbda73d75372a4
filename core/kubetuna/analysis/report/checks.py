"""Reliability checks: what the trials at hand show about the result, each in one plain sentence.

A check says what it saw and what follows; it never gives a grade. The checks look for the usual ways in
which a best value misleads: too few trials, an outlier, a limit of the search range, a search that was
still improving, results that a trivial strategy reaches as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from kubetuna.analysis.report.failures import summary
from kubetuna.analysis.report.overfitting import Luck, choice, verdict
from kubetuna.analysis.report.repeats import Runs, rivals, runs_of
from kubetuna.analysis.report.text import cut, esc, finite, number, span
from kubetuna.analysis.report.view import View, value_of
from kubetuna.experiment.model import Parameter, Value
from kubetuna.experiment.units import count
from kubetuna.study.edited_space import edit_note
from kubetuna.trials.attempts import LINE_LIMIT
from kubetuna.trials.choice import choice_line

# Random search finds one of the best 5 % with probability 0.95 after 59 trials (0.95 ** 59 < 0.05).
MANY_TRIALS = 59
FEW_TRIALS = 10
# A best value further from the second than half of the way from the second to the median is an outlier.
OUTLIER = 0.5
EDGE = 0.02
LATE = 0.8
MANY_FAILURES = 0.2


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: ``good`` supports the result, ``care`` questions it, ``note`` is for information."""

    mark: str
    text: str


MARKS = {"good": "✓", "care": "!", "note": "i"}
WORDS = {"good": "passed", "care": "warning", "note": "note"}


def check_list(view: View, luck: Luck | None, added: Sequence[Check] = ()) -> str:
    """The checks as a list."""
    items = "".join(
        f'<li class="{c.mark}"><span class="mark" role="img" aria-label="{WORDS[c.mark]}">{MARKS[c.mark]}</span>'
        f"<span>{esc(c.text)}</span></li>"
        for c in checks(view, luck, added)
    )
    return f'<ul class="checks">{items}</ul>'


def checks(view: View, luck: Luck | None = None, added: Sequence[Check] = ()) -> list[Check]:
    """All findings: a domain's own, selection bias, then the rest, warnings first."""
    if not view.eligible:
        return [Check("care", f"Nothing to check yet: {view.why_no_best}."), *_failures(view)]
    questions = (_trials, _edited, _cut, _gap, _edges, _late, _failures, _interim, _noise)
    found = [check for ask in questions for check in ask(view)]
    order = ("care", "good", "note")
    return [*added, *_luck(luck), *sorted(found, key=lambda c: order.index(c.mark))]


def _luck(luck: Luck | None) -> Iterator[Check]:
    if luck is None:
        return
    yield Check("good" if luck.skill else "care", verdict(luck))
    if luck.overfitting is not None:
        yield Check("good" if luck.told_apart else "care", choice(luck))


def _interim(view: View) -> Iterator[Check]:
    if not view.over:
        yield Check("note", "The experiment has not ended; the best may still change.")


def _edited(view: View) -> Iterator[Check]:
    if note := edit_note(view.spec, view.trials):
        yield Check("note", f"{note[0].upper()}{note[1:]}.")


def _cut(view: View) -> Iterator[Check]:
    if cut := sum(t.lines_cut for t in view.trials):
        lines = f"{count(cut, 'line')} of more than {LINE_LIMIT:,} bytes"
        yield Check("note", f"The logs have {lines}, of which only the end was read.")


def _trials(view: View) -> Iterator[Check]:
    done, width = len(view.eligible), len(view.spec.parameters)
    space = f"{count(done, 'completed trial')} for {count(width, 'parameter')}"
    if done < FEW_TRIALS:
        yield Check("care", f"Only {space}: the best may be due to chance.")
    elif done < MANY_TRIALS:
        yield Check("note", f"{space[0].upper()}{space[1:]}: a coarse search; more trials may improve the result.")
    else:
        yield Check("good", f"{space[0].upper()}{space[1:]}.")


def _gap(view: View) -> Iterator[Check]:
    ranked = view.ranked()
    if view.spec.multi_objective or len(ranked) < 5:
        return
    best, second = value_of(ranked[0]), value_of(ranked[1])
    middle = median(value_of(t) for t in ranked)
    gap, way = abs(best - second), abs(second - middle)
    facts = f"best {number(best)}, second {number(second)}, median {number(middle)}"
    if best == middle:
        text = f"At least half of the trials reach the same value ({facts}): the search made no difference."
        yield Check("care", text)
    elif gap > OUTLIER * way:
        yield Check("care", f"The best is an outlier ({facts}): rerun its parameters before relying on it.")
    else:
        yield Check("good", f"Other trials come close to the best ({facts}): it is not an outlier.")


def _edges(view: View) -> Iterator[Check]:
    """Parameters whose best value lies at a limit of their range, so that a better one may lie beyond."""
    params = view.best.params if view.best else {}
    if found := [text for p in view.spec.parameters if p.name in params and (text := _edge(p, params[p.name]))]:
        shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        yield Check("care", f"At a limit of the search range: {shown}. A wider range may contain better values.")


def _edge(parameter: Parameter, value: Value) -> str:
    if parameter.choices or parameter.low == parameter.high:
        return ""
    # With few whole numbers a limit is no sign of anything.
    if parameter.kind == "int" and (parameter.high or 0) - (parameter.low or 0) < 10:
        return ""
    place = range_position(parameter, value)
    if place is None or EDGE < place < 1 - EDGE:
        return ""
    return f"{cut(parameter.name, 40)} = {number(value)}"


def range_position(parameter: Parameter, value: object) -> float | None:
    """Where a value lies in its range: 0 to 1, or beyond after an edit; None for one that has no place there."""
    place, low, high = finite(value), float(parameter.low or 0), float(parameter.high or 0)
    if place is None or (parameter.log and place <= 0):
        return None
    if parameter.log:
        place, low, high = math.log(place), math.log(low), math.log(high)
    return (place - low) / (high - low)


def _late(view: View) -> Iterator[Check]:
    if view.best is None or len(view.trials) < FEW_TRIALS:
        return
    last = view.trials[-1].number
    if view.best.number > LATE * last:
        yield Check("care", f"Trial {view.best.number} of {last + 1} is the best: the search was still improving.")
    else:
        later = count(last - view.best.number, "later trial")
        yield Check("good", f"{later} did not improve on trial {view.best.number}.")


def _failures(view: View) -> Iterator[Check]:
    text = summary(view)
    failed = sum(1 for t in view.trials if t.state == "FAIL")
    if text:
        yield Check("care" if failed > MANY_FAILURES * len(view.trials) else "note", f"{text}.")


def _repeated(view: View, found: Sequence[Runs]) -> Check:
    first, open_with = found[0], rivals(found)
    text = (
        f"Over {len(first.values)} seeds trial {first.trial} has a mean of {number(first.mean)} "
        f"(95 % interval over seeds {span(first.low, first.high)})"
    )
    if open_with:
        names = ", ".join(map(str, open_with[:5]))
        return Check("care", f"{text}; the interval of trial {names} overlaps, so their order is uncertain.")
    return Check("good", f"{text}, clear of the other {len(found) - 1} that were repeated.")


def _noise(view: View) -> Iterator[Check]:
    found = runs_of(view)
    if found:
        yield _repeated(view, found)
    elif view.best is not None and "choice" not in view.status:
        text = "Each configuration ran once, so the noise in its value is unknown; kubetuna retest measures it."
        yield Check("note", text)
    if choice := view.status.get("choice"):
        text = choice_line(view.status)
        unsure = choice["noise"] == "high" and len(choice["alike"]) > 1
        yield Check("care" if unsure else "good", f"{text[0].upper()}{text[1:]}.")
    if foreign := sum(1 for t in view.trials if not t.own):
        yield Check("note", f"{count(foreign, 'trial')} in the study came from another program.")
