"""Sections that the contest adds to a report: the held-out test, once it was scored, and the walk-forward folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from kubetuna.analysis.report.chart import Chart, Section, table
from kubetuna.analysis.report.kinds import BEST, BLUE, GREY, ORANGE, PURPLE, SKY
from kubetuna.analysis.report.text import esc, label, number
from kubetuna.experiment.units import count
from kubetuna.finrl.fold_results import Walked, WalkForward, verdict

TEST_LEAD = (
    "No trial has read these data. The winner was trained again with several seeds, so that the spread shows what "
    "chance alone does to it."
)


def test_section(final: Mapping[str, Any] | None) -> Section | None:
    """What the test said; nothing before it was scored."""
    if final is None or not final.get("runs"):
        return None
    looks = int(final.get("looks", 1))
    again = f" This was look number {looks}: the test is no longer unseen." if looks > 1 else ""
    blocks = [_contenders(final), _validation(final), _costs(final)]
    return Section("test", "On the held-out test", TEST_LEAD + again, [block for block in blocks if block])


def _contenders(final: Mapping[str, Any]) -> str:
    low, high = final["interval"]
    runs = final["runs"]
    rows = [["<b>the winner</b>", f"<b>{esc(number(final['mean']))}</b>",
             f"{esc(number(low))} to {esc(number(high))}, {count(len(runs), 'seed')}"]]  # fmt: skip
    rows += [
        [f"seed {esc(run['seed'])}", esc(number(run["metrics"].get(final["metric"]))), ""]
        for run in (runs if len(runs) > 1 else ())
    ]
    others = sorted(final["baselines"].items(), key=lambda item: -item[1])
    rows += [[esc(name.replace("_", " ")), esc(number(value)), ""] for name, value in others]
    return table(("", str(final["metric"]), "95 % interval"), rows, frozenset((1,)))


def _validation(final: Mapping[str, Any]) -> str:
    """The winner's curse: what was chosen for being best was lucky to be."""
    won, again = final["validation"]["winner"], final["validation"]["mean"]
    if won is None or again is None:
        return ""
    return (
        f"<p>On validation data the winner had {esc(number(won))}; trained again with these seeds it has "
        f"{esc(number(again))} there, and {esc(number(final['mean']))} on the test.</p>"
    )


def _costs(final: Mapping[str, Any]) -> str:
    """What is left at other trading costs, of the first seed."""
    costs = final.get("costs") or ()
    if not costs:
        return ""
    first = "slippage" if "slippage" in costs[0] else "cost"
    heads = (first, *(name for name in costs[0] if name != first))
    rows = [[esc(number(cost[name])) for name in heads] for cost in costs]
    return f"<h3>At other costs</h3>{table(heads, rows, frozenset(range(len(heads))))}"


FOLDS_LEAD = (
    "Each fold trains the same parameters again on all that lies before its block, and is judged on the block; the "
    "held-out test is in none of them. A winner that leads in one stretch of time only was fitted to it."
)
# More lines than these cannot be told apart; the table has every trial.
OTHERS = ((BLUE, "circle"), (ORANGE, "diamond"), (PURPLE, "square"), (SKY, "triangle-up"))


def folds_section(walk: WalkForward | None) -> Section | None:
    """What the folds said; nothing before anybody walked forward."""
    if walk is None:
        return None
    mark = "care" if walk.behind or not walk.contenders else "good"
    words = f'<p class="{mark}"><b>{esc(verdict(walk))}</b></p>'
    return Section("walkforward", "Walk-forward", FOLDS_LEAD, [words, _chart(walk), _folds_table(walk)])


def _chart(walk: WalkForward) -> Chart:
    folds = [f"fold {n}" for n in range(1, len(walk.blocks) + 1)]
    others = [
        _line(folds, f"trial {one.trial}", one.values, {"color": colour}, symbol)
        for one, (colour, symbol) in zip(walk.trials[1:], OTHERS, strict=False)
    ]
    best = _line(
        folds,
        f"trial {walk.winner.trial} (best)",
        walk.winner.values,
        {"color": BEST.colour, "width": 3},
        BEST.symbol,
    )
    # Drawn last, on top, and named first.
    data = [*_held(walk, folds), *others, best | {"legendrank": 1}]
    layout = {"xaxis": {"type": "category"}, "yaxis": {"title": {"text": label(walk.metric)}}}
    alt = f"{walk.metric} of {count(len(others) + 1, 'trial')} and of buying and holding by fold. {verdict(walk)}"
    return Chart(alt, data, layout)


def _held(walk: WalkForward, folds: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Buying and holding, which moves with the market; the other baselines are in the table."""
    if "buy_and_hold" in walk.contenders:
        values = [block.baselines["buy_and_hold"] for block in walk.blocks]
        yield _line(folds, "buy and hold", values, {"color": GREY, "dash": "dash"}, "line-ew-open")


def _line(
    folds: Sequence[str], name: str, values: Sequence[float], line: dict[str, Any], symbol: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(folds),
        "y": list(values),
        "hovertext": [f"{name}<br>{fold}: {number(value)}" for fold, value in zip(folds, values, strict=True)],
        "hoverinfo": "text",
        "line": {"width": 1.5, **line},
        "marker": {"color": line["color"], "symbol": symbol, "size": 10},
    }


def _folds_table(walk: WalkForward) -> str:
    heads = ("", "in the search", "mean", "worst", *(f"fold {n}" for n in range(1, len(walk.blocks) + 1)))
    rows = [_trial(walk, one) for one in walk.trials]
    rows += [
        _row(walk, esc(name.replace("_", " ")), [block.baselines[name] for block in walk.blocks], "")
        for name in walk.contenders
    ]
    rows.append(["judged on", "", "", "", *(esc(block.span) for block in walk.blocks)])
    return table(heads, rows, frozenset(range(1, len(heads))))


def _trial(walk: WalkForward, one: Walked) -> list[str]:
    name = f"trial {one.trial}"
    return _row(walk, f"<b>{name} (best)</b>" if one is walk.winner else name, one.values, number(one.value))


def _row(walk: WalkForward, name: str, values: Sequence[float], searched: str) -> list[str]:
    figures = (fmean(values), walk.worst(values), *values)
    return [name, esc(searched), *(esc(number(value)) for value in figures)]
