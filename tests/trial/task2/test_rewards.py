"""What the market pays for a score: the whole table, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest

from kubetuna_trial.task2.rewards import IDLE, rewards, starter_kit_rewards

MOVES = {"strong": 0.021, "weak": 0.02, "none": 0.0, "against": -0.001}


def paid(share: float, move: float) -> float:
    return float(rewards(np.array([share]), np.array([move]))[0])


@pytest.mark.parametrize(
    ("share", "move", "reward"),
    [
        (0.3, "strong", 1), (0.6, "strong", 1), (0.7, "strong", 2),
        (0.3, "weak", 0.1), (0.6, "none", 0.1), (0.7, "weak", 0.5), (1.0, "none", 0.5),
        (0.3, "against", -1), (0.7, "against", -2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", [1, -1])
def test_a_trade_is_paid_by_the_move_in_its_direction(share: float, move: str, reward: float, side: int) -> None:
    assert paid(side * share, side * MOVES[move]) == reward


@pytest.mark.parametrize("move", MOVES.values())
@pytest.mark.parametrize("share", [0.0, 0.29, -0.29])
def test_a_weak_score_is_no_trade_and_costs_a_little(share: float, move: float) -> None:
    assert paid(share, move) == IDLE


@pytest.mark.parametrize(
    ("score", "move", "reward"),
    [
        (3, 0.021, 1), (7, 0.021, 2), (3, 0.01, 0.1), (7, 0.01, 0.5), (3, -0.01, -1), (7, -0.01, -2),
        (-3, 0.021, 1), (-7, 0.021, 1), (-3, 0.01, -1), (-7, 0.01, -1), (-3, -0.03, -1), (-7, -0.03, -1),
    ],
)  # fmt: skip
def test_the_starter_kits_own_table_has_shorts_inverted(score: int, move: float, reward: float) -> None:
    assert starter_kit_rewards(np.array([score / 10]), np.array([move]))[0] == reward


def test_the_scale_of_scores_does_not_matter() -> None:
    moves = np.linspace(-0.05, 0.05, 11)
    for strength in (5, 10, 20):
        shares = np.array([round(0.4 * strength) / strength])
        assert np.array_equal(rewards(shares, moves), rewards(np.array([0.4]), moves))
