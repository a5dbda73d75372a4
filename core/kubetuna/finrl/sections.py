"""Sections that the contest adds to a report: the held-out test, once it was scored, and the walk-forward folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from kubetuna.analysis.report.chart import Chart, Section, line, table
from kubetuna.analysis.report.kinds import BEST, BLUE, GREY, ORANGE, PURPLE, SKY
from kubetuna.analysis.report.text import esc, interval_words, label, number
from kubetuna.experiment.units import count
from kubetuna.finrl.fold_results import Walked, WalkForward, verdict

TEST_LEAD = (
    "No trial has read these data. The best configuration was trained again with several seeds. The interval holds "
    "two kinds of chance: another stretch of the same market, and another seed."
)
FOLDS_LEAD = (
    "Each fold trains the same parameters again on everything before its block and is judged on the block; the "
    "held-out test is in none of them. A trial that leads in one period only was fitted to it."
)
# More lines than these cannot be told apart; the table has every trial.
OTHERS = ((BLUE, "circle"), (ORANGE, "diamond"), (PURPLE, "square"), (SKY, "triangle-up"))


def test_section(final: Mapping[str, Any] | None) -> Section | None:
    """The result of the test; nothing before it was scored."""
    if final is None or not final.get("runs"):
        return None
    looks = int(final.get("looks", 1))
    again = f" The test was scored {looks} times: it is no longer unseen." if looks > 1 else ""
    blocks = [_contenders(final), _validation(final), _costs(final)]
    return Section("test", "Held-out test", TEST_LEAD + again, blocks)


def _contenders(final: Mapping[str, Any]) -> str:
    runs, others = final["runs"], sorted(final["baselines"].items(), key=lambda item: -item[1])
    seeds = [(f"seed {run['seed']}", run["metrics"].get(final["metric"])) for run in runs]
    interval = f"{count(len(runs), 'seed')}: {interval_words(final)}"
    rows = [["<b>best configuration</b>", f"<b>{number(final['mean'])}</b>", interval]]
    rows += [
        [esc(name.replace("_", " ")), number(value), ""]
        for name, value in (*(seeds if len(runs) > 1 else ()), *others)
    ]
    return table(("", str(final["metric"]), "how sure"), rows, (1,))


def _validation(final: Mapping[str, Any]) -> str:
    """The winner's curse: what was selected for being best was lucky to be."""
    won, again = final["validation"]["winner"], final["validation"]["mean"]
    if won is None or again is None:
        return ""
    return (
        f"<p>On validation data the best trial reached {number(won)}; trained again with these seeds it reaches "
        f"{number(again)} there, and {number(final['mean'])} on the test.</p>"
    )


def _costs(final: Mapping[str, Any]) -> str:
    """The result at other trading costs, of the first seed."""
    costs = final.get("costs") or ()
    if not costs:
        return ""
    first = "slippage" if "slippage" in costs[0] else "cost"
    heads = (first, *(name for name in costs[0] if name != first))
    rows = [[number(cost[name]) for name in heads] for cost in costs]
    return f"<h3>At other trading costs</h3>{table(heads, rows, range(len(heads)))}"


def folds_section(walk: WalkForward | None) -> Section | None:
    """The results on the folds; nothing before ``walkforward`` ran."""
    if walk is None:
        return None
    mark = "care" if walk.behind or not walk.contenders else "good"
    words = f'<p class="{mark}"><b>{esc(verdict(walk))}</b></p>'
    return Section("walkforward", "Walk-forward", FOLDS_LEAD, [words, _chart(walk), _folds_table(walk)])


def _chart(walk: WalkForward) -> Chart:
    best = _line(f"trial {walk.winner.trial} (best)", walk.winner.values, BEST.colour, BEST.symbol, width=3)
    others = [
        _line(f"trial {one.trial}", one.values, colour, symbol, width=1.5)
        for one, (colour, symbol) in zip(walk.trials[1:], OTHERS, strict=False)
    ]
    # Drawn last, on top, and named first.
    data = [*_held(walk), *others, best | {"legendrank": 1}]
    layout = {"xaxis": {"type": "category"}, "yaxis": {"title": {"text": label(walk.metric)}}}
    alt = f"{walk.metric} of {count(len(others) + 1, 'trial')} and of buying and holding by fold. {verdict(walk)}"
    return Chart(alt, data, layout)


def _held(walk: WalkForward) -> Iterator[dict[str, Any]]:
    """Buying and holding, which moves with the market; the other baselines are in the table."""
    if "buy_and_hold" in walk.contenders:
        values = [block.baselines["buy_and_hold"] for block in walk.blocks]
        yield _line("buy and hold", values, GREY, "line-ew-open", width=1.5, dash="dash")


def _folds(count_: int) -> list[str]:
    return [f"fold {n}" for n in range(1, count_ + 1)]


def _line(name: str, values: Sequence[float], colour: str, symbol: str, **style: Any) -> dict[str, Any]:
    folds = _folds(len(values))
    hover = [f"{name}<br>{fold}: {number(value)}" for fold, value in zip(folds, values, strict=True)]
    marker = {"color": colour, "symbol": symbol, "size": 10}
    return {**line(name, folds, values, colour, hover, **style), "mode": "lines+markers", "marker": marker}


def _folds_table(walk: WalkForward) -> str:
    heads = ("", "in the search", "mean", "how sure", "worst", *_folds(len(walk.blocks)))
    rows = [_trial(walk, one) for one in walk.trials]
    rows += [
        _row(walk, esc(name.replace("_", " ")), [block.baselines[name] for block in walk.blocks], "", "")
        for name in walk.contenders
    ]
    rows.append(["judged on", "", "", "", "", *(esc(block.span) for block in walk.blocks)])
    return table(heads, rows, range(1, len(heads)))


def _trial(walk: WalkForward, one: Walked) -> list[str]:
    name = f"trial {one.trial}"
    known = interval_words(one.chances.as_json()) if one.seeds else ""
    return _row(walk, f"<b>{name} (best)</b>" if one is walk.winner else name, one.values, number(one.value), known)


def _row(walk: WalkForward, name: str, values: Sequence[float], searched: str, known: str) -> list[str]:
    return [name, searched, number(fmean(values)), known, *map(number, (walk.worst(values), *values))]
