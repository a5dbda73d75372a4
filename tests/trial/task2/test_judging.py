"""The protocol: a hand-worked book, degenerate cases, and that no parameter and no future changes a judgement."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from kubetuna_trial.task2.data import Market, market_of, planted_market
from kubetuna_trial.task2.evaluation import (
    Judgement,
    Scores,
    baselines,
    book_returns,
    buy_and_hold,
    hit_rate,
    joined,
    judge,
    positions,
    random_scores,
)
from kubetuna_trial.task2.planted import Article, World
from kubetuna_trial.task2.prompts import Prompts
from kubetuna_trial.task2.protocol import Protocol, protocol_of
from kubetuna_trial.task2.training import scores
from kubetuna_trial.task2.words import word_scores
from tests.trial.task2 import worlds


def prices(opens: list[list[float]]) -> Market:
    """A market of given opens, judged from its first day."""
    table = np.array(opens)
    bars = np.repeat(table[:, :, None], 5, axis=2)
    dates = tuple(str(day) for day in np.busday_offset("2024-01-01", np.arange(table.shape[1])))
    names = tuple(f"T{i}" for i in range(len(opens)))
    return Market(World(names, dates, bars, ()), range(0), range(table.shape[1] - 3), "x", "x")


def scored(*days: list[float]) -> Scores:
    return Scores(np.array(days), np.array(days))


FREE = Protocol("x", (0, 1), "", cost=0.0)


def test_a_book_worked_by_hand() -> None:
    market = prices([[100, 110, 121, 121, 100], [100, 100, 100, 50, 50]])
    held = np.array([[1, -1], [1, 0]])
    found = book_returns(held, market, FREE, range(2))
    stake = 1 / 18
    first = stake * (10 / 100)
    second_stake = (1 + first) * stake
    gains = [first, stake * 11 / 100 + second_stake * 11 / 110, stake * 50 / 100, second_stake * -21 / 110]
    equity = np.concatenate([[1], 1 + np.cumsum(gains)])
    assert found == pytest.approx(np.diff(equity) / equity[:-1])


def test_each_trade_costs_at_entry_and_at_exit() -> None:
    market = prices([[100.0] * 6])
    found = book_returns(np.array([[1]]), market, replace(FREE, cost=0.01), range(1))
    assert found == pytest.approx([-0.01 / 18, 0, -0.01 / 18], rel=1e-3)


def test_the_three_highest_are_bought_and_the_three_lowest_sold_short_where_strong_enough() -> None:
    held = positions(scored([0.9, 0.5, 0.4, 0.3, 0.2, -0.3, -0.2]), FREE)
    assert held.tolist() == [[1, 1, 1, 0, 0, -1, 0]]


def test_equal_scores_share_the_places_that_are_left() -> None:
    assert positions(scored([0.5] * 5), FREE).tolist() == [[3 / 5] * 5]
    shared = positions(scored([0.9, 0.5, 0.5, 0.5, 0.3]), FREE)
    assert np.allclose(shared, [[1, 2 / 3, 2 / 3, 2 / 3, 0]])
    assert positions(scored([-0.5, -0.5, 0.1, -0.5, -0.5]), FREE).tolist() == [[-3 / 4, -3 / 4, 0, -3 / 4, -3 / 4]]


def test_what_is_traded_follows_from_what_is_emitted() -> None:
    """Two models that say the same trade the same, whatever they think beside it."""
    rng = np.random.default_rng(3)
    said = rng.integers(-2, 3, (50, 7)) / 2
    first, second = (positions(Scores(said, rng.normal(size=said.shape)), FREE) for _ in range(2))
    assert np.array_equal(first, second)
    assert (np.abs(np.maximum(first, 0).sum(axis=1)) <= 3 + 1e-9).all()
    order = rng.permutation(7)
    assert np.allclose(positions(Scores(said[:, order], said), FREE), first[:, order]), "no ticker comes first"


def test_silence_is_worth_a_coin_and_trades_nothing() -> None:
    market = worlds.market()
    protocol = protocol_of(market)
    days = protocol.days()
    nothing = np.zeros((len(days), len(market.world.tickers)))
    found = judge(Scores(nothing, nothing), market, protocol, days)
    assert (found.hit_rate, found.trades, found.performance.sharpe_ratio) == (0.5, 0, 0.0)
    assert found.performance.degenerate and found.performance.total_return == 0


def test_a_hit_has_the_sign_of_the_move() -> None:
    assert hit_rate(np.array([0.1, -0.1, 0.1, 0.0]), np.array([0.01, 0.01, 0.02, 0.5])) == 0.625


def test_foresight_wins_and_luck_does_not() -> None:
    market = worlds.market()
    protocol = protocol_of(market)
    days = protocol.days()
    moves = market.future_return(np.arange(days.start, days.stop), 3)
    perfect = judge(Scores(np.sign(moves), moves), market, protocol, days)
    assert perfect.hit_rate == 1 and perfect.mean_reward > 0.4
    assert np.prod(1 + perfect.returns) - 1 == pytest.approx(perfect.performance.total_return)
    luck = baselines(market, protocol, days)
    assert 0.45 < luck["random_hit_rate"] < 0.55
    assert perfect.performance.total_return > luck["buy_and_hold_return"] > -1


def test_buy_and_hold_is_the_mean_of_what_the_tickers_did() -> None:
    market = prices([[100, 100, 110, 120, 130], [50, 50, 50, 50, 50]])
    assert np.prod(1 + buy_and_hold(market, FREE, range(2))) - 1 == pytest.approx(0.15)


def test_random_scores_are_the_same_for_every_trial() -> None:
    assert np.array_equal(random_scores((3, 7), 4).greedy, random_scores((3, 7), 4).greedy)


def test_the_digest_changes_with_rules_and_data_only() -> None:
    market = worlds.market()
    protocol = protocol_of(market)
    for change in ({"cost": 0.0}, {"exit_days": 2}, {"positions": 2}, {"threshold": 0.5}, {"window": (1, 2)}):
        assert replace(protocol, **change).digest != protocol.digest  # type: ignore[arg-type]
    assert protocol_of(worlds.market(seed=8)).digest != protocol.digest
    others = {"lookahead": 7, "reward_scaling": 0.1, "signal_strength": 20, "max_env_steps": 200, "lora_r": 64}
    assert worlds.trial(worlds.plan(**others)).protocol.digest == protocol.digest


def test_nothing_of_the_future_changes_a_prompt_or_an_action() -> None:
    market = worlds.market()
    day = market.window[5]
    world = market.world
    bars = world.bars.copy()
    bars[:, day:] *= np.random.default_rng(1).uniform(0.5, 2, bars[:, day:].shape)
    changed = tuple(
        a if a.date < world.dates[day] else Article(a.date, a.ticker, "Everything is different", "")
        for a in world.news
    )
    later = market_of(World(world.tickers, world.dates, bars, changed), "perturbed")
    before, after = Prompts(market, 10), Prompts(later, 10)
    days = range(day - 5, day + 1)
    assert [before.of_day(d) for d in days] == [after.of_day(d) for d in days]
    assert before.of_day(day + 1) != after.of_day(day + 1)
    policy = worlds.trial(worlds.plan()).policy
    first, second = scores(policy, market, days), scores(policy, later, days)
    assert np.array_equal(first.greedy, second.greedy) and np.array_equal(first.mean, second.mean)
    protocol = protocol_of(market)
    assert np.array_equal(positions(first, protocol), positions(second, protocol))


def test_a_reward_of_training_is_paid_before_the_first_judged_day() -> None:
    for days in (100, 620, 1000):
        market = worlds.market(days=days)
        assert market.train[-1] + 7 < market.window[0]
        assert market.window[-1] + 3 < len(market.world.dates)


def test_prompts_hold_the_newest_news_and_yesterdays_close() -> None:
    market = worlds.market()
    day = market.train[50]
    prompts = Prompts(market, 12)
    text, known = prompts.of(day, 0), prompts.known(day, "AAPL")
    assert f"Last close: {market.world.bars[0, day - 1, 3]:.2f}" in text and "from -12 (falls) to 12" in text
    assert [a.date for a in known] == sorted((a.date for a in known), reverse=True)
    assert all(a.date < market.world.dates[day] for a in known)
    silent = [d for d in market.train for t in market.world.tickers if not prompts.known(d, t)]
    everything = len(market.train) * len(market.world.tickers)
    assert 0 < len(silent) < 0.2 * everything


def test_the_bag_of_words_learns_from_train_days_and_finds_the_signal() -> None:
    def judged(market: Market) -> float:
        protocol = protocol_of(market)
        return judge(word_scores(market, protocol, protocol.days()), market, protocol, protocol.days()).hit_rate

    market = planted_market(7)
    assert judged(market) > 0.56
    assert abs(judged(planted_market(7, shuffled=True)) - 0.5) < 0.05
    late = market.world.bars.copy()
    late[:, market.window.start :] *= np.linspace(1, 3, late.shape[1] - market.window.start)[None, :, None]
    later, protocol = replace(market, world=replace(market.world, bars=late)), protocol_of(market)
    found = (word_scores(one, protocol, protocol.days()).greedy for one in (market, later))
    assert np.array_equal(*found), "prices of the window teach it nothing"


def test_a_report_judges_a_share_spread_over_the_window_on_the_scale_of_the_whole() -> None:
    market = planted_market(3)
    protocol = protocol_of(market)
    days, blocks = protocol.days(), protocol.reported()
    assert blocks[0].start == days.start and blocks[-1].stop == days.stop
    assert all(before.stop <= after.start for before, after in itertools.pairwise(blocks))
    assert abs(sum(map(len, blocks)) / len(days) - protocol.report_share) < 0.05

    def skilled(of: range) -> Judgement:
        """Right in three cases of five."""
        moves = market.future_return(np.array(of), protocol.exit_days)
        luck = np.random.default_rng(of.start).random(moves.shape) < 0.6
        shares = np.sign(moves) * np.where(luck, 1.0, -1.0)
        return judge(Scores(shares, shares), market, protocol, of)

    whole = skilled(days)
    part = joined([skilled(block) for block in blocks], len(days) / sum(map(len, blocks)))
    assert np.log1p(part.performance.total_return) == pytest.approx(
        np.log1p(whole.performance.total_return), rel=0.4
    ), "half of the days earn as much a day"
    assert part.hit_rate == pytest.approx(whole.hit_rate, abs=0.05)
    assert len(replace(protocol, window=(days.start, days.start + 9)).reported()) == 1
