"""``evaluate``: score a saved ensemble by the protocol, beside what needs no training, and at other costs.

The same pass over the same seconds as at the end of a trial. A model that earns less than buying and holding, doing
nothing, random trades or its own untrained networks has learned nothing; one that earns only at costs that no
exchange offers cannot be traded.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kubetuna_trial.command import add_final, refuse_unrecorded
from kubetuna_trial.errors import InputError
from kubetuna_trial.metrics import Floats, break_even, performance, simple_returns
from kubetuna_trial.task1.ensemble import Ensemble, load_ensemble
from kubetuna_trial.task1.evaluation import Judgement, buy_and_hold, ensemble_policy, judge, random_policy
from kubetuna_trial.task1.linear import judged
from kubetuna_trial.task1.market import MarketData
from kubetuna_trial.task1.planted import FACTORS_FILE, PRICES_FILE
from kubetuna_trial.task1.protocol import Protocol
from kubetuna_trial.task1.splits import USUAL
from kubetuna_trial.task1.windows import PARTS, Window, refuse_changed, refuse_own, refuse_test, window_of
from kubetuna_trial.wire import SERIES_POINTS, thinned

DESCRIPTION = """\
Score a saved ensemble on one part of a data set by the protocol of evaluation, beside least squares, buying and
holding, doing nothing, random trades and the same networks before training, and at other trading costs. Without
data it takes the data that the model was trained on; of a model trained with --fold, validation is that fold's
block. --split all is for other data than the model's own, whose held-out test is left to kubetuna finalize."""

# From free to what a large exchange takes of a small customer.
COSTS = (0.0, 7e-7, 1e-5, 5e-5, 1e-4, 5e-4)


def add_options(parser: ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder with ensemble.safetensors")
    parser.add_argument("--data", type=Path, metavar="DIR", help=f"folder with {PRICES_FILE} and {FACTORS_FILE}")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="the contest's price CSV (column midpoint)")
    parser.add_argument("--factors", type=Path, metavar="FILE", help="the contest's factors, .npy, (rows, factors)")
    parser.add_argument("--align", choices=("front", "rear"), default="front", help="pair the first or last rows")
    parser.add_argument("--split", choices=PARTS, default="validation", help="which rows (validation)")
    add_final(parser)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(options: Namespace) -> int:
    """Score and print."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(options.threads)
    ensemble = load_ensemble(options.model)
    origin = _origin(options, ensemble)
    refuse_unrecorded(options)
    if options.split == "all":
        refuse_own(origin, ensemble.described)
    if origin is ensemble.origin:
        refuse_changed(ensemble.described)
    window = window_of(origin, options.split, ensemble.fold)
    if options.split != "test":
        refuse_test(origin, window, ensemble.described)
    found = evaluate(ensemble, window)
    print(json.dumps(found, allow_nan=False) if options.json else _table(found))
    sys.stdout.flush()
    return 0


def _origin(options: Namespace, ensemble: Ensemble) -> Mapping[str, Any]:
    prices = options.prices or (options.data and options.data / PRICES_FILE)
    factors = options.factors or (options.data and options.data / FACTORS_FILE)
    if bool(prices) != bool(factors):
        raise InputError("--prices and --factors belong together: give both, or --data DIR, or neither")
    if prices:
        split = (ensemble.origin or {}).get("split", USUAL)
        return {"prices": prices, "factors": factors, "align": options.align, "split": split}
    if ensemble.origin is None:
        raise InputError("the model does not say what data it was trained on; give --data DIR")
    return ensemble.origin


def evaluate(ensemble: Ensemble, window: Window) -> dict[str, Any]:
    """Everything that is known of an ensemble on a window, as JSON."""
    rows = len(window.prices)
    fold = str(ensemble.fold) if ensemble.fold and window.part in ("train", "validation") else None
    protocol = Protocol(data=window.digest, window=(0, rows), fold=fold)
    if protocol.episodes < 1:
        raise InputError(f"{window.source}: {rows} rows of {window.part} are less than an episode")
    factors = torch.from_numpy(window.scaled(ensemble.mean, ensemble.deviation))
    tape = MarketData(torch.from_numpy(np.ascontiguousarray(window.prices)), factors, 1.0)
    own, free = _judged(ensemble, tape, protocol), _judged(ensemble, tape, replace(protocol, slippage=0.0))
    costs = [_at_cost(own, free, protocol, cost) for cost in COSTS]
    return {
        "task": "task1",
        "split": window.part,
        **({"fold": fold} if fold else {}),
        "rows": [window.span.start, window.span.stop],
        "data": window.source,
        "protocol": protocol.digest,
        "metrics": _figures(own),
        "turnover": own.turnover,
        "baselines": _baselines(ensemble, tape, protocol),
        "costs": costs,
        "break_even_slippage": break_even(COSTS, [found["total_return"] for found in costs]),
        "returns": thinned(own.returns.tolist(), SERIES_POINTS),
        "squares": thinned((own.returns**2).tolist(), SERIES_POINTS),
        "length": len(own.returns),
    }


def _judged(ensemble: Ensemble, tape: MarketData, protocol: Protocol) -> Judgement:
    return judge(ensemble_policy(ensemble.nets, tape), ensemble.gap, ensemble.units, tape, protocol)


def _figures(judgement: Judgement) -> dict[str, float]:
    found = asdict(judgement.performance)
    found.pop("degenerate")
    return found


def _baselines(ensemble: Ensemble, tape: MarketData, protocol: Protocol) -> dict[str, dict[str, float]]:
    """Several seeds where there is chance in it, and their mean."""
    seeds = range(protocol.random_seeds)
    luck = [_figures(judge(random_policy(seed), 1, 1, tape, protocol)) for seed in seeds]
    untrained = [
        _figures(
            judge(ensemble_policy(ensemble.untrained(seed), tape), ensemble.gap, ensemble.units, tape, protocol)
        )
        for seed in seeds
    ]
    held = _figures(buy_and_hold(tape, protocol))
    weights = ensemble.described.get("linear")
    return {
        **({"linear": _figures(judged(weights, tape, protocol))} if weights else {}),
        "buy_and_hold": held,
        "flat": dict.fromkeys(held, 0.0),
        "random": {name: float(np.mean([one[name] for one in luck])) for name in held},
        "untuned": {name: float(np.mean([one[name] for one in untrained])) for name in held},
    }


def _at_cost(own: Judgement, free: Judgement, protocol: Protocol, cost: float) -> dict[str, float]:
    """The figures at another cost: it changes no decision, so what each second costs is known from two passes."""
    before, after = _equity(free, protocol), _equity(own, protocol)
    found = performance(simple_returns(before + (after - before) * cost / protocol.slippage))
    return {"slippage": cost, "total_return": found.total_return, "sharpe_ratio": found.sharpe_ratio}


def _equity(judgement: Judgement, protocol: Protocol) -> Floats:
    return protocol.starting_equity * np.concatenate([[1.0], np.cumprod(1.0 + judgement.returns)])


def _table(found: Mapping[str, Any]) -> str:
    names = ("sharpe_ratio", "total_return", "romad", "max_drawdown")
    lines = [f"{found['data']}, {found['split']}, rows {found['rows'][0]} to {found['rows'][1]}"]
    lines.append(f"{'':<14}" + "".join(f"{name:>14}" for name in names))
    for name, figures in {"model": found["metrics"], **found["baselines"]}.items():
        lines.append(f"{name:<14}" + "".join(f"{figures[key]:>14.6g}" for key in names))
    lines += ["", f"{'slippage':<14}{'sharpe_ratio':>14}{'total_return':>14}"]
    lines += [f"{c['slippage']:<14g}{c['sharpe_ratio']:>14.6g}{c['total_return']:>14.6g}" for c in found["costs"]]
    return "\n".join([*lines, _verdict(found["costs"], found["break_even_slippage"])])


def _verdict(costs: list[dict[str, float]], even: float | None) -> str:
    if even is not None:
        return f"It earns nothing from a slippage of {even:.3g} on ({even * 1e4:.3g} basis points a trade)."
    earns = costs[0]["total_return"] > 0
    return "It earns at every one of these costs." if earns else "It earns nothing, even if trading were free."
