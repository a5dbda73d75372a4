"""The held-out test, once ``finalize`` has scored it: each seed, what it had to beat, other costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubetuna.analysis.report.chart import Section, table
from kubetuna.analysis.report.text import count, esc, number

LEAD = (
    "No trial has read these data. The winner was trained again with several seeds, so that the spread shows what "
    "chance alone does to it."
)


def section(final: Mapping[str, Any] | None) -> Section | None:
    """What the test said; nothing before it was scored."""
    if final is None or not final.get("runs"):
        return None
    looks = int(final.get("looks", 1))
    again = f" This was look number {looks}: the test is no longer unseen." if looks > 1 else ""
    blocks = [_contenders(final), _validation(final), _costs(final)]
    return Section("test", "On the held-out test", LEAD + again, [block for block in blocks if block])


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
