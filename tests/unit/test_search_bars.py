"""What the benchmark of searches says of its bars."""

from __future__ import annotations

import pytest
from benchmarks.contenders import DEFAULT, KATIB, RANDOM
from benchmarks.measure import geometric_mean
from benchmarks.search import judgement


@pytest.mark.parametrize(
    ("contender", "budget", "interval", "said"),
    [
        (DEFAULT, 20, (0.5, 0.4, 0.7), "bar: 1.5x better: met, 2.00x"),
        (DEFAULT, 20, (0.8, 0.7, 0.9), "bar: 1.5x better: missed, 1.25x"),
        (DEFAULT, 20, (0.5, 0.2, 1.1), "bar: 1.5x better: missed, the interval holds 1"),
        (DEFAULT, 100, (1.3, 0.9, 1.9), "bar: not worse beyond noise: met"),
        (DEFAULT, 100, (1.3, 1.1, 1.6), "bar: not worse beyond noise: missed, at least 1.10x as far away"),
        (KATIB, 40, (0.5, 0.2, 0.9), "bar: 3x better: missed, 2.00x"),
        (RANDOM, 100, (0.05, 0.02, 0.1), "bar: 10x better: met, 20.00x"),
        (RANDOM, 20, (2.0, 1.5, 3.0), ""),
    ],
)
def test_a_bar_is_met_or_missed_and_by_how_much(
    contender: str, budget: int, interval: tuple[float, float, float], said: str
) -> None:
    assert judgement(contender, budget, *interval) == said


def test_one_pair_has_no_interval() -> None:
    assert geometric_mean([[0.0], [0.0, 0.0]]) == (1.0, 0.0, float("inf"))


def test_the_interval_of_several_pairs_lies_around_their_mean() -> None:
    mean, low, high = geometric_mean([[-1.0, 0.0, 1.0]])
    assert 0 < low < mean < high < float("inf")
