"""The trading arithmetic, against traces worked by hand and a plain scalar simulator."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from kubetuna_trial.task1.book import Rules, empty_book, trade
from kubetuna_trial.task1.cli import main

CPU = torch.device("cpu")


def scalar(prices: list[float], actions: list[int], rules: Rules) -> list[tuple[float, float, float, float]]:
    """One simulation in plain Python: position, cash, asset and holding after each step."""
    position = holding = 0
    cash = best = 0.0
    rows = []
    for price, action in zip(prices, actions, strict=True):
        best = max(best, price) if position > 0 else min(best, price) if position < 0 else price
        change = max(-rules.max_position, min(rules.max_position, position + action)) - position
        holding += 1
        fall = (best - price) if position > 0 else (price - best) if position < 0 else 0.0
        limit = float("inf")
        if rules.stop_loss is not None:
            limit = rules.stop_loss if rules.compat else rules.stop_loss * best
        if position and (holding > rules.max_holding or fall > limit):
            change = -position
        side = (change > 0) - (change < 0)
        cash -= change * price * (1 + rules.slippage * side)
        was, position = position, position + change
        if was == 0 or (position == 0 and not rules.compat):
            holding = 0
        rows.append((float(position), cash, cash + position * price, float(holding)))
    return rows


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(("units", "limit"), [(1, 7), (3, 100)])
def test_vectors_equal_a_scalar_simulator(compat: bool, units: int, limit: int) -> None:
    rng = random.Random(units)
    rules = Rules(1e-4, units, limit, 3.0 if compat else 1e-4, compat)
    count, length = 256, 60
    walks = [[50_000.0] for _ in range(count)]
    for walk in walks:
        for _ in range(length - 1):
            walk.append(walk[-1] + rng.gauss(0, 2))
    actions = [[rng.choice((-1, 0, 1)) for _ in range(length)] for _ in range(count)]
    expected = [scalar(w, a, rules) for w, a in zip(walks, actions, strict=True)]
    book = empty_book(count, CPU)
    prices, wishes = torch.tensor(walks, dtype=torch.float64), torch.tensor(actions, dtype=torch.float64)
    for t in range(length):
        book = trade(book, wishes[:, t], prices[:, t], rules)
        found = torch.stack([book.position, book.cash, book.asset(prices[:, t]), book.holding], dim=1)
        wanted = torch.tensor([rows[t] for rows in expected], dtype=torch.float64)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert {int(p) for rows in expected for p, *_ in rows} == set(range(-units, units + 1))


def test_a_round_trip_on_a_flat_price_costs_its_slippage_and_nothing_else() -> None:
    rules, price = Rules(1e-3, 1, 100), torch.tensor([200.0], dtype=torch.float64)
    book = trade(empty_book(1, CPU), torch.ones(1, dtype=torch.float64), price, rules)
    book = trade(book, -torch.ones(1, dtype=torch.float64), price, rules)
    assert float(book.cash) == pytest.approx(-2 * 1e-3 * 200) and float(book.position) == 0


def replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[tuple[float, int]], *more: str
) -> list[dict[str, float]]:
    (tmp_path / "p.csv").write_text("midpoint\n" + "".join(f"{p}\n" for p, _ in rows))
    (tmp_path / "a.csv").write_text("action\n" + "".join(f"{a}\n" for _, a in rows))
    files = ["--prices", str(tmp_path / "p.csv"), "--actions", str(tmp_path / "a.csv")]
    assert main(["replay", *files, "--json", *more]) == 0
    found: list[dict[str, float]] = json.loads(capsys.readouterr().out)
    return found


def test_replay_shows_a_trace_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(100.0, 1), (102.0, 0), (101.0, -1), (103.0, -1), (100.0, 0)]
    found = replayed(tmp_path, capsys, rows, "--slippage", "0.01")
    assert [s["position"] for s in found] == [1, 1, 0, -1, -1]
    assert [s["cash"] for s in found] == pytest.approx([-101, -101, -101 + 99.99, -1.01 + 101.97, 100.96])
    assert [s["reward"] for s in found] == pytest.approx([-1, 2, -2.01, -1.03, 3])
    assert [s["holding"] for s in found] == [0, 1, 0, 0, 1]
    assert sum(s["reward"] for s in found) == pytest.approx(found[-1]["asset"])


def test_compat_stops_on_an_absolute_fall_from_the_best_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(100.0, 1), (101.0, 1), (100.6, 1), (100.4, 1), (100.4, -1), (99.0, 0), (99.6, 0)]
    found = replayed(tmp_path, capsys, rows, "--compat", "--slippage", "0", "--stop-loss", "0.5")
    # Long from 100, best 101: 100.6 holds, 100.4 fell by 0.6 and closes although the action was to buy. Then short
    # from 100.4, best 99: 99.6 is 0.6 above it and closes.
    assert [s["position"] for s in found] == [1, 1, 1, 0, -1, -1, 0]
    assert found[-1]["asset"] == pytest.approx(0.4 + 0.8)


def test_a_position_is_closed_after_an_hour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = replayed(tmp_path, capsys, [(100.0, 1)] * 6, "--step-gap", "1200")
    assert [s["position"] for s in found] == [1, 1, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("prices", "actions", "words"),
    [
        ("mid\n1\n", "action\n1\n", "no column 'midpoint'"),
        ("midpoint\n1\n", "action\n2\n", "line 2: action 2"),
        ("midpoint\n1\n", "action\n1\n0\n", "1 rows for 2 actions"),
        ("midpoint\nx\n", "action\n1\n", "numbers only"),
        ("midpoint\n-1\n", "action\n1\n", "positive"),
        ("", "action\n1\n", "is empty"),
    ],
)
def test_replay_tells_what_is_wrong_with_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prices: str, actions: str, words: str
) -> None:
    (tmp_path / "p.csv").write_text(prices)
    (tmp_path / "a.csv").write_text(actions)
    files = ["--prices", str(tmp_path / "p.csv"), "--actions", str(tmp_path / "a.csv")]
    assert main(["replay", *files]) == 2
    assert words in capsys.readouterr().err
