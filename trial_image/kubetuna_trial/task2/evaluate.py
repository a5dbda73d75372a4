"""``evaluate``: a saved model on a market's validation or test days, beside all that it should beat."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from typing import Any

from kubetuna_trial.command import Parser, add_final, refuse_unrecorded
from kubetuna_trial.errors import InputError
from kubetuna_trial.marks import refuse_later
from kubetuna_trial.metrics import break_even, performance
from kubetuna_trial.task2.artifacts import read_note
from kubetuna_trial.task2.data import EXIT_DAYS, GRAIN, Market
from kubetuna_trial.task2.evaluation import Judgement, Scores, judge, luck, untrained
from kubetuna_trial.task2.options import add_data, market_of
from kubetuna_trial.task2.policy import Policy, Tuned
from kubetuna_trial.task2.protocol import Protocol, protocol_of
from kubetuna_trial.task2.saved import add_saved, saved_fold, saved_model
from kubetuna_trial.task2.training import figures, scores
from kubetuna_trial.task2.words import word_scores

DESCRIPTION = """\
Judge a model by the protocol that judges trials: with its adapter (tuned), without (untuned), beside a bag of
words, random scores, buying and holding, and doing nothing, on the same days. --split validation are the days that
its trial was judged on; the test files are left to kubetuna finalize, which records that it read them."""


# A fraction of what is traded, at each side: from free to what a small broker takes of an illiquid share.
COSTS = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01)


def add_options(parser: Parser) -> None:
    """The options of ``evaluate``."""
    add_saved(parser)
    add_data(parser)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation", help="which days")
    parser.add_argument(
        "--own-data", action="store_true", help="refuse data that are not the adapter's own any more"
    )
    add_final(parser)


def run(options: Namespace) -> int:
    """Print the figures of each contender."""
    refuse_unrecorded(options)
    test = options.split == "test"
    fold = None if test else saved_fold(options)
    market = market_of(options, test, fold)
    if options.split == "train":
        market = replace(market, window=market.train)
    if options.own_data:
        refuse_changed(options)
    if not test:
        refuse_test(options, market)
    policy, names = saved_model(options)
    protocol = protocol_of(market, policy.prompting)
    found: dict[str, Any] = {
        "split": options.split,
        **({"fold": str(fold)} if fold else {}),
        "first": market.world.dates[protocol.days()[0]],
        "last": market.world.dates[protocol.days()[-1]],
        "decisions": len(protocol.days()) * len(market.world.tickers),
        "protocol": protocol.digest,
        "data": market.source,
        **names,
        **_contenders(policy, market, protocol),
    }
    if options.json:
        print(json.dumps(found, allow_nan=False))
    else:
        print(_table(found))
    return 0


def refuse_changed(options: Namespace) -> None:
    """Raise InputError where the data before the test have changed since the adapter was trained."""
    known = (read_note(options.adapter) if options.adapter else {}).get("protocol", {}).get("data")
    if known not in (None, market_of(options, False, saved_fold(options)).digest):
        raise InputError(
            f"{options.data or options.stocks or 'its data'}: the data have changed since the adapter was trained; "
            "its figures would be of others. Put back what was there, or name others with --data DIR"
        )


def refuse_test(options: Namespace, market: Market) -> None:
    """Raise InputError where the judged days come after the last that the adapter's own data have."""
    ends = (read_note(options.adapter) if options.adapter else {}).get("ends", {})
    judged = market.window.stop + EXIT_DAYS - GRAIN.length
    for ticker, marks in market.marks().items():
        refuse_later(marks[:judged], int(ends.get(ticker, 0)))


def _contenders(policy: Policy | Tuned, market: Market, protocol: Protocol) -> dict[str, Any]:
    """Figures by contender, and of the model that was asked for its returns per day and what other costs leave."""
    days = protocol.days()
    found: dict[str, Any] = {}
    own = scores(policy, market, days)
    asked = judge(own, market, protocol, days)
    if isinstance(policy, Tuned):
        found["tuned"] = figures(asked)
        with policy.untuned():
            found["untuned"] = figures(judge(scores(policy, market, days), market, protocol, days))
    else:
        found["untuned"] = figures(asked)
    found["bag_of_words"] = figures(judge(word_scores(market, protocol, days), market, protocol, days))
    found["random"] = _means(luck(market, protocol, days))
    found |= {name: _plain(returns) for name, returns in untrained(market, protocol, days).items()}
    costs = [_at_cost(own, market, replace(protocol, cost=cost)) for cost in COSTS]
    even = break_even(COSTS, [one["cumulative_return"] for one in costs])
    return found | {"returns": asked.returns.tolist(), "costs": costs, "break_even_cost": even}


def _at_cost(own: Scores, market: Market, protocol: Protocol) -> dict[str, float]:
    """The same scores, and so the same positions, at another cost."""
    found = performance(judge(own, market, protocol, protocol.days()).returns)
    return {
        "cost": protocol.cost,
        "cumulative_return": found.total_return,
        "sharpe_ratio": found.sharpe_ratio,
    }


def _means(found: list[Judgement]) -> dict[str, float]:
    each = [figures(one) for one in found]
    return {name: sum(one[name] for one in each) / len(each) for name in each[0]}


def _plain(returns: Any) -> dict[str, float]:
    """What needs no scores has returns only."""
    found = performance(returns)
    return {
        "cumulative_return": found.total_return,
        "sharpe_ratio": found.sharpe_ratio,
        "max_drawdown": found.max_drawdown,
    }


def _table(found: dict[str, Any]) -> str:
    names = ("cumulative_return", "sharpe_ratio", "max_drawdown", "mean_reward", "hit_rate")
    head = f"{found['split']}: {found['first']} to {found['last']}, {found['decisions']} decisions, {found['data']}"
    lines = [head, f"{'':<14}" + "".join(f"{name:>20}" for name in names)]
    for who, values in found.items():
        if isinstance(values, dict):
            cells = (f"{values[name]:>20.4f}" if name in values else f"{'':>20}" for name in names)
            lines.append(f"{who.replace('_', ' '):<14}" + "".join(cells))
    lines += ["", f"{'cost':<14}{names[0]:>20}{names[1]:>20}"]
    lines += [f"{c['cost']:<14g}{c[names[0]]:>20.4f}{c[names[1]]:>20.4f}" for c in found["costs"]]
    return "\n".join(lines)
