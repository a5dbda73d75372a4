"""The protocol judges every trial alike, and sees no future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kubetuna_trial.task1.data import Dataset, planted_dataset
from kubetuna_trial.task1.evaluation import Policy, buy_and_hold, ensemble_policy, judge
from kubetuna_trial.task1.linear import fitted, judged, linear_policy
from kubetuna_trial.task1.market import MarketData, Observation
from kubetuna_trial.task1.planted import SNR
from kubetuna_trial.task1.protocol import protocol_of
from tests.trial.task1 import worlds

CPU = torch.device("cpu")


def always(action: int) -> Policy:
    return lambda now: torch.full((len(now.rows),), action)


def test_how_often_a_policy_decides_does_not_change_what_the_same_trades_are_worth() -> None:
    data = worlds.data()
    tape, protocol = MarketData.of(data, CPU), protocol_of(data, data.validation)
    found = [judge(always(2), gap, units, tape, protocol) for gap, units in ((1, 1), (5, 1))]
    assert found[0].performance == found[1].performance
    assert found[0].turnover == found[1].turnover == 2 * protocol.episodes


def test_splitting_the_exposure_does_not_enlarge_it() -> None:
    data = worlds.data()
    tape, protocol = MarketData.of(data, CPU), protocol_of(data, data.validation)
    one, three = (judge(always(2), 1, units, tape, protocol) for units in (1, 3))
    assert three.performance.total_return == pytest.approx(one.performance.total_return, abs=2e-3)
    assert three.turnover == one.turnover


def test_the_future_changes_nothing_before_it() -> None:
    data = worlds.data()
    protocol = protocol_of(data, data.validation)
    cut = data.validation.start + 5 * protocol.episode + 100
    prices, factors = data.prices.copy(), data.factors.copy()
    prices[cut:] *= 1.01
    factors[cut:] = -factors[cut:]
    nets = [member.net for member in worlds.trial(worlds.plan()).members]
    seen = []
    for market in (data, replace(data, prices=prices, factors=factors)):
        tape = MarketData.of(market, CPU)
        seen.append(judge(ensemble_policy(nets, tape), 1, 1, tape, protocol).returns)
    same = 5 * protocol.episode + 98
    assert np.array_equal(seen[0][:same], seen[1][:same])
    assert not np.array_equal(seen[0][same:], seen[1][same:])


def test_a_decision_is_carried_out_after_the_second_it_was_made_in() -> None:
    """Whoever trades on the move that is happening earns nothing from that move."""
    data = worlds.data(snr=0.0)
    tape, protocol = MarketData.of(data, CPU), protocol_of(data, data.validation)

    def late(now: Observation) -> torch.Tensor:
        return torch.where(tape.prices[now.rows + 1] > tape.prices[now.rows], 2, 0)

    assert abs(judge(late, 1, 1, tape, protocol).performance.sharpe_ratio) < 0.05


def test_buy_and_hold_earns_the_move_of_the_price() -> None:
    data = worlds.data()
    tape, protocol = MarketData.of(data, CPU), protocol_of(data, data.validation)
    first = data.validation.start + 1
    last = first + protocol.episodes * protocol.episode - 1
    moved = (data.prices[last] - data.prices[first]) / data.prices[first - 1]
    assert buy_and_hold(tape, protocol).performance.total_return == pytest.approx(moved, abs=3e-6)


def test_the_protocol_names_its_data_and_nothing_of_a_trial() -> None:
    data = worlds.data()
    digest = protocol_of(data, data.validation).digest
    other: Dataset = planted_dataset(20_000, 8, SNR)
    assert digest != protocol_of(other, other.validation).digest
    assert worlds.trial(worlds.plan(step_gap=5, slippage=1e-5, max_position=3)).protocol.digest == digest


def test_learning_beats_luck_on_planted_data_and_not_without_a_signal() -> None:
    """The control: the same factors without foresight must earn nothing."""
    planted, control = worlds.data(40_000), worlds.data(40_000, snr=0.0)
    trained = worlds.trial(worlds.plan(updates=240, reports=1), planted)
    skill = worlds.reports(trained)[-1]["sharpe_ratio"]
    line = judged(trained.linear, trained.tape, trained.protocol).performance.sharpe_ratio
    luck = [
        worlds.reports(worlds.trial(worlds.plan(updates=240, reports=1, seed=seed), control))[-1]["sharpe_ratio"]
        for seed in range(3)
    ]
    window = 7_000
    assert skill > max(0.05, 2 * line)
    assert abs(float(np.mean(luck))) < 3 / np.sqrt(window)


def test_a_report_uses_a_share_of_a_long_window_spread_over_it() -> None:
    data = worlds.data()
    tape, short = MarketData.of(data, CPU), protocol_of(data, data.validation)
    assert short.reported == short.episodes, "of a short window every report is the same measure"
    long = replace(short, window=(0, 300 * 530 + 1))
    assert long.reported == 265
    rows: list[int] = []

    def watching(now: Observation) -> torch.Tensor:
        rows.extend(now.rows.tolist())
        return torch.ones(len(now.rows), dtype=torch.int64)

    judge(watching, 300, 1, tape, short, 4)
    first, last = short.window
    assert len(rows) == 4 and rows[0] == first and np.diff(rows).min() >= 2 * short.episode
    assert rows[-1] > first + 0.6 * (last - first)


def test_the_linear_rival_is_fitted_on_train_rows_and_finds_the_signal() -> None:
    data = worlds.data(60_000)
    tape, protocol = MarketData.of(data, CPU), protocol_of(data, data.validation)
    weights = fitted(data)
    later = replace(
        data, prices=np.concatenate([data.prices[: data.train.stop], data.prices[data.train.stop :] * 2])
    )
    assert np.array_equal(fitted(later), weights)
    found = judged(weights.tolist(), tape, protocol).performance
    assert found.total_return > max(0.0, buy_and_hold(tape, protocol).performance.total_return)
    flat = linear_policy(np.zeros_like(weights), tape)
    assert judge(flat, 1, 1, tape, protocol).turnover == 0, "what foretells nothing trades nothing"
    noise = planted_dataset(60_000, 7, 0.0)
    nothing = judged(
        fitted(noise).tolist(), MarketData.of(noise, CPU), protocol_of(noise, noise.validation)
    ).performance
    assert nothing.sharpe_ratio < found.sharpe_ratio / 3
