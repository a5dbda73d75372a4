"""Results of a long experiment: the page and the dashboard over ten thousand trials, and judging a saved model.

A page is made in a process of its own, so that its peak memory is its own. Judging is set against the same pass
over the same seconds written as a plain loop: one second of one episode at a time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Row, medians, say, seconds
from kubetuna.analysis.folder import write_results
from kubetuna.study.record import StudyRecord
from kubetuna_trial.task1.agents import KINDS, network
from kubetuna_trial.task1.book import SECONDS_HELD_AT_MOST, Rules, empty_book, trade
from kubetuna_trial.task1.data import planted_dataset
from kubetuna_trial.task1.evaluation import ensemble_policy, judge
from kubetuna_trial.task1.market import MarketData, seen
from kubetuna_trial.task1.nets import QNetwork
from kubetuna_trial.task1.parameters import parse_parameters
from kubetuna_trial.task1.planted import SNR
from kubetuna_trial.task1.protocol import Protocol, protocol_of

TRIALS, STEPS, RETURNS = 10_000, 20, 250
PAGES = ("report", "analyze")


def rows(quick: bool) -> list[Row]:
    """Every figure."""
    return [*_pages(500 if quick else TRIALS), *_judging(1 if quick else 36)]


def _pages(trials: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "results"
        say(f"writing a study of {trials} trials of {STEPS} steps")
        write_results(_study(trials), folder)
        found: list[Row] = []
        for verb in PAGES:
            say(verb)
            page = Path(place) / f"{verb}.html"
            seconds, peak = _call(verb, folder, page)
            note = f"{trials:,} trials of {STEPS} steps, {RETURNS} returns each, from a folder of results"
            found += [
                Row(f"kubetuna {verb}", seconds, "s", note=note),
                Row(f"… peak memory of {verb}", peak / 1024, "MB"),
                Row(f"… size of the page of {verb}", page.stat().st_size / 1e6, "MB", note="bar: 15 MB"),
            ]
        return found


def _study(trials: int) -> Any:
    """A study as a search leaves it, with returns for every completed trial."""
    from tests.report.studies import many, study

    rng = np.random.default_rng(0)
    returns = (rng.normal(0.02, 1.0, (trials, RETURNS)) * 1e-4).tolist()
    made = [
        replace(t, series={"returns": own}) if t.state == "COMPLETE" else t
        for t, own in zip(many(trials), returns, strict=True)
    ]
    whole = study(made)
    return StudyRecord(whole.spec, whole.status(), whole.trials, Path("runs"), 1, "u")


def _call(verb: str, folder: Path, page: Path) -> tuple[float, float]:
    """Seconds and peak memory in KiB of one call of the command line."""
    # Not the resource usage, whose peak a process inherits from whoever started it.
    code = (
        "import sys; from pathlib import Path; from kubetuna.cli.main import app; "
        "app(sys.argv[1:], standalone_mode=False); lines = Path('/proc/self/status').read_text().splitlines(); "
        "print(next(line for line in lines if line.startswith('VmHWM')).split()[1])"
    )
    began = time.perf_counter()
    out = subprocess.check_output([sys.executable, "-c", code, verb, str(folder), "--out", str(page)], text=True)
    return time.perf_counter() - began, float(out.split()[-1])


def _judging(episodes: int) -> list[Row]:
    torch.set_num_threads(1)
    data = planted_dataset(60_000, 7, SNR)
    tape, protocol = MarketData.of(data, torch.device("cpu")), protocol_of(data, data.validation)
    params = parse_parameters({})
    nets = [network(KINDS[kind], tape.width, params.net_dims) for kind in params.agents]
    say(f"judging {episodes} episodes, as one pass and as a loop")
    contenders = {
        "one pass": lambda: seconds(lambda: judge(ensemble_policy(nets, tape), 2, 1, tape, protocol, episodes)),
        "a loop": lambda: seconds(lambda: _loop(nets, tape, protocol, episodes)),
    }
    found = medians(contenders, 1 if episodes == 1 else 3)
    (ours, spread), (loop, _) = found["one pass"], found["a loop"]
    note = f"{episodes} episodes of {protocol.episode} s, two networks of 128, one thread"
    return [
        Row("judging a validation window", ours, "s", spread, note),
        Row("… a plain loop over the same, times", loop / ours, "x"),
    ]


@torch.no_grad()
def _loop(nets: Sequence[QNetwork], tape: MarketData, protocol: Protocol, episodes: int) -> float:
    """The same pass, one second of one episode at a time."""
    policy, rules, worth = ensemble_policy(nets, tape), Rules(protocol.slippage, 1, SECONDS_HELD_AT_MOST), 0.0
    for episode in range(episodes):
        book = empty_book(1, tape.prices.device)
        start = torch.tensor([protocol.window[0] + episode * protocol.episode])
        for second in range(protocol.episode):
            wish = torch.zeros(1, dtype=torch.float64)
            if second % 2 == 0:
                wish = (policy(seen(book, start + second, rules)) - 1).to(torch.float64)
            price = tape.prices[start + second + 1]
            book = trade(book, wish, price, rules, closing=second == protocol.episode - 1)
        worth += float(book.cash)
    return worth
