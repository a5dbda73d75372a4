"""Statistics of backtests against answers worked out without this code: published examples, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kubetuna.analysis.statistics.intervals import (
    FIGURES,
    Chances,
    Returns,
    chances,
    mean_chances,
    mean_interval,
    reality_check,
    resample_counts,
    sharpe_interval,
)
from kubetuna.analysis.statistics.overfitting import block_count, probability_of_overfitting
from kubetuna.analysis.statistics.ranks import order_of
from kubetuna.analysis.statistics.sharpe import (
    Moments,
    deflated_sharpe_ratio,
    effective_trials,
    expected_best_ratio,
    moments,
    probabilistic_sharpe_ratio,
    sharpe_ratios,
)

Array = np.ndarray


def noise(seed: int, rows: int, columns: int, shared: float = 0.0) -> Array:
    """Columns without a mean, that correlate by ``shared``."""
    random = np.random.default_rng(seed)
    own = random.normal(size=(rows, columns))
    return math.sqrt(1 - shared) * own + math.sqrt(shared) * random.normal(size=(rows, 1)) if shared else own


class TestTheSharpeRatio:
    def test_moments_worked_by_hand(self) -> None:
        # 0, 0, 0, 4: mean 1, variance 3, third central moment 6, fourth 21.
        found = moments(np.array([0.0, 0.0, 0.0, 4.0]))
        assert found.ratio == pytest.approx(1 / math.sqrt(3))
        assert found.skewness == pytest.approx(6 / 3**1.5)
        assert found.kurtosis == pytest.approx(21 / 9)

    def test_a_series_that_never_moves_has_none(self) -> None:
        assert moments(np.full(50, 1e-4)) == Moments(0.0, 50)
        assert sharpe_ratios(np.zeros((5, 2))).tolist() == [0.0, 0.0]

    def test_psr_of_a_normal_series_is_the_textbook_z(self) -> None:
        # SR 0.1, T 101: z = 0.1 * 10 / sqrt(1 + 0.01 / 2) = 0.997509; Phi = 0.840741 (table).
        assert probabilistic_sharpe_ratio(Moments(0.1, 101)) == pytest.approx(0.840741, abs=1e-6)
        assert probabilistic_sharpe_ratio(Moments(0.1, 101), 0.1) == 0.5

    def test_fat_left_tails_cost_certainty(self) -> None:
        fat = Moments(0.1, 101, -3.0, 10.0)
        assert probabilistic_sharpe_ratio(fat) < probabilistic_sharpe_ratio(Moments(0.1, 101))

    def test_the_deflated_ratio_of_the_papers_example(self) -> None:
        """Bailey and López de Prado 2014: 100 trials, SR 2.5 a year, variance 1/2 a year, five years of days."""
        found = Moments(2.5 / math.sqrt(250), 1250, -3.0, 10.0)
        assert expected_best_ratio(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
        assert deflated_sharpe_ratio(found, 0.5 / 250, 100) == pytest.approx(0.9004, abs=5e-5)
        # The same paper: with 46 trials it would have passed at 95 %.
        assert deflated_sharpe_ratio(found, 0.5 / 250, 46) == pytest.approx(0.9505, abs=5e-5)

    def test_one_trial_is_not_deflated(self) -> None:
        found = Moments(0.1, 101)
        assert deflated_sharpe_ratio(found, 1.0, 1) == probabilistic_sharpe_ratio(found)

    def test_the_expected_best_is_what_simulation_shows(self) -> None:
        draws = noise(3, 20_000, 50).max(axis=1).mean()
        assert expected_best_ratio(1.0, 50) == pytest.approx(draws, rel=0.02)


class TestTheEffectiveNumberOfTrials:
    def test_copies_are_one_and_strangers_are_many(self) -> None:
        one = noise(0, 500, 1)
        assert effective_trials(np.repeat(one, 20, axis=1)) == pytest.approx(1.0)
        assert effective_trials(noise(1, 5000, 20)) == pytest.approx(20, abs=0.5)

    def test_half_correlated_lie_between(self) -> None:
        shared = noise(2, 20_000, 1) + noise(3, 20_000, 10)
        # Correlation 1/2: 10 * 1/2 + 1/2.
        assert effective_trials(shared) == pytest.approx(5.5, abs=0.2)

    def test_columns_that_never_move_do_not_count(self) -> None:
        assert effective_trials(np.zeros((10, 3))) == 1.0


class TestTheProbabilityOfOverfitting:
    def test_two_strategies_that_alternate_are_always_chosen_wrongly(self) -> None:
        # A earns in the first half, B in the second; whichever half chooses, its choice is last in the other.
        good, bad = [2.0, 1.0, 2.0, 1.0], [-2.0, -1.0, -2.0, -1.0]
        found = probability_of_overfitting(np.array([good + bad, bad + good]).T, blocks=2)
        assert (found.probability, found.loss, found.splits) == (1.0, 1.0, 2)

    def test_by_hand_with_four_blocks(self) -> None:
        a, b = [3.0, 1.0, 3.0, 1.0], [1.0, 0.0, 1.0, 0.0]
        found = probability_of_overfitting(np.array([a, b]).T, blocks=4)
        # Six splits. Blocks {1,3} or {2,4} alone never vary (ratio 0 for both: the first is chosen, and ties).
        # In the four mixed splits A (3, 1: ratio 2) beats B (1, 0: ratio 1) in both halves: rank 2 of 2.
        assert found.splits == 6
        assert found.probability == pytest.approx(2 / 6)
        assert found.loss == 0.0

    def test_pure_noise_is_a_coin(self) -> None:
        found = [probability_of_overfitting(noise(seed, 320, 50)).probability for seed in range(20)]
        assert 0.35 <= float(np.mean(found)) <= 0.65

    def test_a_dominant_strategy_is_found(self) -> None:
        returns = noise(1, 320, 50)
        returns[:, 17] += 0.5
        assert probability_of_overfitting(returns).probability < 0.05

    @pytest.mark.parametrize("shared", [0.0, 0.7])
    def test_words_follow_its_distribution_under_noise(self, shared: float) -> None:
        """Below one half is no sign of anything: noise is there in half of its draws, far below it in some."""
        drawn = [probability_of_overfitting(noise(seed, 160, 10, shared), blocks=8) for seed in range(120)]
        assert sum(found.probability <= 0.5 for found in drawn) > 30
        assert sum(found.chance <= 0.05 for found in drawn) <= 12, "nominal 5 %: 12 or more have a chance below 2 %"
        assert 0.35 < float(np.mean([found.chance for found in drawn])) < 0.65

    def test_the_number_of_splits_is_that_of_the_halves(self) -> None:
        assert probability_of_overfitting(noise(0, 64, 3)).splits == 12_870

    def test_blocks_fit_the_series(self) -> None:
        assert [block_count(n) for n in (0, 7, 8, 20, 64, 1000)] == [0, 0, 2, 4, 16, 16]
        with pytest.raises(ValueError, match="5 blocks"):
            probability_of_overfitting(noise(0, 64, 3), blocks=5)


class TestTheBootstrap:
    def test_every_resample_is_as_long_as_the_series(self) -> None:
        counts = resample_counts(100, 20, 0)
        assert counts.sum(axis=1).tolist() == [100.0] * 20
        assert not np.array_equal(counts[0], counts[1])

    def test_the_interval_covers_the_truth_as_often_as_it_says(self) -> None:
        hits = 0
        for seed in range(200):
            low, high = sharpe_interval(noise(seed, 300, 1)[:, 0] + 0.1, resamples=300, seed=seed)
            hits += low <= 0.1 <= high
        assert 0.90 <= hits / 200 <= 0.99

    # Spread of the models' true ratios; share of the noise that is a model's own; dependence of neighbours.
    @pytest.mark.parametrize(
        ("training", "own", "dependence"), [(0.0, 0.2, 0.0), (0.05, 0.2, 0.3), (0.3, 0.2, 0.0), (0.05, 0.9, 0.0)]
    )
    def test_the_interval_of_seeds_and_market_covers_as_often_as_it_says(
        self, training: float, own: float, dependence: float
    ) -> None:
        random, hits, draws = np.random.default_rng(1), {"both": 0, "training": 0}, 500
        for _ in range(draws):
            market = random.standard_normal(201)
            market = math.sqrt(1 - dependence**2) * market[1:] + dependence * market[:-1]
            true = 0.1 + training * random.standard_normal(5)
            noises = math.sqrt(1 - own) * market + math.sqrt(own) * random.standard_normal((5, 200))
            series = true[:, None] + noises
            found = chances("sharpe_ratio", list(sharpe_ratios(series.T)), [Returns.of(one) for one in series])
            for name in hits:
                low, high = getattr(found, name)
                hits[name] += low <= 0.1 <= high
        assert 0.92 <= hits["both"] / draws <= 0.97
        if training <= 0.05 and own < 0.5:
            assert hits["training"] / draws < 0.8, "the spread over seeds alone hides the market"

    @pytest.mark.parametrize(("training", "seeds"), [(0.0, 2), (0.1, 2), (0.2, 3)])
    def test_the_interval_of_a_mean_over_folds_covers_as_often_as_it_says(
        self, training: float, seeds: int
    ) -> None:
        random, hits, draws = np.random.default_rng(5), 0, 600
        for _ in range(draws):
            folds = []
            for _ in range(4):
                true = 0.1 + training * random.standard_normal((seeds, 1))
                noises = 0.9 * random.standard_normal(200) + 0.43 * random.standard_normal((seeds, 200))
                series = true + noises
                folds.append((list(sharpe_ratios(series.T)), [Returns.of(one) for one in series]))
            found = mean_chances("sharpe_ratio", folds).both
            assert found is not None
            hits += found[0] <= 0.1 <= found[1]
        assert 0.92 <= hits / draws <= 0.97

    def test_one_fold_without_returns_leaves_nothing_known_of_the_market(self) -> None:
        series = Returns.of(noise(1, 200, 1)[:, 0])
        known, unknown = ([0.1, 0.2], [series, series]), ([0.1, 0.2], [None, None])
        found = mean_chances("sharpe_ratio", [known, unknown])
        assert found.both is None and found.market is None and found.training == found.shown is not None
        assert Chances.from_json(found.as_json()) == found and Chances.from_json({}) == Chances()

    def test_one_seed_has_no_interval_of_its_own(self) -> None:
        series = Returns.of(noise(1, 200, 1)[:, 0])
        alone = chances("sharpe_ratio", [0.1], [series])
        assert alone.both is alone.training is alone.shown is None and alone.market is not None
        assert chances("sharpe_ratio", [0.1], [None]) == Chances()
        no_returns = chances("loss", [0.1, 0.2], [None, None])
        assert no_returns.shown == no_returns.training == mean_interval([0.1, 0.2]) and no_returns.market is None
        assert chances("romad", [0.1, 0.2], [series, series]).market is None, "it depends on the order of returns"

    def test_sums_of_neighbours_lose_nothing(self) -> None:
        returns = noise(3, 9_973, 1)[:, 0] / 1000 + 1e-5
        whole, sums = Returns(returns, returns**2, len(returns)), Returns.of(returns)
        assert len(sums.sums) <= 1000 and sums.sums.sum() == pytest.approx(returns.sum())
        once = np.ones((1, len(sums.sums)))
        assert FIGURES["sharpe_ratio"](sums, once)[0] == pytest.approx(float(sharpe_ratios(returns)))
        growth = float(np.prod(1 + returns) - 1)
        assert FIGURES["total_return"](sums, once)[0] == pytest.approx(growth, rel=1e-3)
        assert FIGURES["total_return"](whole, np.ones((1, len(returns))))[0] == pytest.approx(growth, rel=1e-3)

    def test_dependence_widens_the_interval(self) -> None:
        alone = noise(5, 2000, 1)[:, 0]
        smooth = np.convolve(alone, np.ones(10), "valid") / math.sqrt(10)
        narrow, wide = sharpe_interval(alone[:1991]), sharpe_interval(smooth)
        assert wide[1] - wide[0] > 1.8 * (narrow[1] - narrow[0])

    def test_the_best_of_noise_is_no_discovery(self) -> None:
        found = [reality_check(noise(seed, 250, 20), resamples=200) for seed in range(40)]
        assert sum(p < 0.05 for p in found) <= 6 and 0.3 < float(np.mean(found)) < 0.7

    @pytest.mark.parametrize("shared", [0.0, 0.5])
    def test_trials_that_were_pruned_are_tried_ones(self, shared: float) -> None:
        """Half are given up at half of the window, and only the others' returns are known: the size stays."""
        sizes, draws = {"counted": 0, "left out": 0, "deflated": 0}, 1200
        for seed in range(draws):
            returns = noise(seed, 400, 24, shared)
            early = sharpe_ratios(returns[:200])
            kept = returns[:, early >= np.median(early)]
            best = moments(kept[:, sharpe_ratios(kept).argmax()])
            sizes["counted"] += reality_check(kept, resamples=200, tried=24) <= 0.05
            sizes["left out"] += reality_check(kept, resamples=200) <= 0.05
            sizes["deflated"] += deflated_sharpe_ratio(best, 1 / 399, 24) >= 0.95
        assert 0.04 <= sizes["counted"] / draws <= 0.06
        assert sizes["left out"] >= sizes["counted"] + 0.02 * draws
        assert sizes["deflated"] / draws <= 0.01, "its bar is the best that luck usually makes, and then the 95 %"

    def test_a_real_mean_is_one(self) -> None:
        returns = noise(1, 500, 20)
        returns[:, 3] += 0.3
        assert reality_check(returns, resamples=500) < 0.01
        assert reality_check(np.zeros((10, 2))) == 1.0


class TestTheSequenceOfRows:
    def test_three_rows_worked_by_hand(self) -> None:
        # Of the six orders of three rows one agrees wholly, two more have a correlation of a half.
        same = order_of(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
        swapped = order_of(np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]]))
        turned = order_of(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]))
        assert same and swapped and turned
        assert [o.correlation for o in (same, swapped, turned)] == pytest.approx([1.0, 0.5, -1.0])
        assert [o.chance for o in (same, swapped, turned)] == pytest.approx([1 / 6, 1 / 2, 1.0], abs=0.02)

    def test_three_columns_are_compared_pair_by_pair(self) -> None:
        # 1 between the first two, 1/2 between each of them and the third.
        found = order_of(np.array([[1.0, 1.0, 2.0], [2.0, 2.0, 1.0], [3.0, 3.0, 3.0]]))
        assert found and found.correlation == pytest.approx(2 / 3)
        # Given the first column, 1/36 for all alike, and 6/36 for each way to have the pairs 1, 1/2, 1/2.
        assert found.chance == pytest.approx(7 / 36, abs=0.02)

    def test_a_published_formula_agrees(self) -> None:
        """Kendall and Babington Smith: the mean of all pairs is (K W - 1) / (K - 1), W from the rank sums."""
        figures = noise(5, 9, 4) + np.arange(9)[:, None] * 0.3
        sums = figures.argsort(axis=0).argsort(axis=0).sum(axis=1)
        rows, columns = figures.shape
        w = 12 * ((sums - sums.mean()) ** 2).sum() / (columns**2 * (rows**3 - rows))
        found = order_of(figures)
        assert found and found.correlation == pytest.approx((columns * w - 1) / (columns - 1))

    def test_equal_figures_share_their_ranks(self) -> None:
        # Ranks 1.5, 1.5, 3 against 1, 2, 3: covariance 1.5, variances 1.5 and 2 (sums).
        found = order_of(np.array([[7.0, 1.0], [7.0, 2.0], [9.0, 3.0]]))
        assert found and found.correlation == pytest.approx(1.5 / math.sqrt(1.5 * 2))

    def test_without_two_columns_that_differ_there_is_no_order(self) -> None:
        assert order_of(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])) is None
        assert order_of(np.array([[1.0, 2.0]])) is None

    def test_noise_is_told_from_an_order(self) -> None:
        """A chance that means what it says: of noise about one in twenty falls below 0.05."""
        chances = [o.chance for seed in range(200) if (o := order_of(noise(seed, 8, 4)))]
        assert 2 <= sum(c <= 0.05 for c in chances) <= 20
        planted = order_of(noise(1, 8, 4) * 0.1 + np.arange(8)[:, None])
        assert planted and planted.chance < 0.001
