"""What the page says of the winner: that it is luck where it is, and that it is not where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kubetuna.analysis.report.overfitting import choice, luck_of, verdict
from kubetuna.trials.records import TrialRecord
from tests.report.studies import SEVERAL, Study, study, trial
from tests.report.test_page import charts_of, head_of

T = 400


def with_returns(skills: list[float], seed: int = 0) -> Study:
    """Trials whose returns are noise around these means; each is judged by its own Sharpe ratio."""
    rng = np.random.default_rng(seed)
    made: list[TrialRecord] = []
    for number, skill in enumerate(skills):
        returns = rng.normal(skill, 1.0, T) * 1e-4
        value = float(returns.mean() / returns.std())
        made.append(replace(trial(number, value), series={"returns": returns.tolist()}))
    return study(made)


def test_the_best_of_noise_is_called_luck() -> None:
    words = [verdict(found) for seed in range(20) if (found := luck_of(with_returns([0.0] * 20, seed).view()))]
    assert len(words) == 20
    assert sum("may be due to chance" in w for w in words) >= 19


def test_planted_skill_is_not_called_luck() -> None:
    found = luck_of(with_returns([0.0] * 10 + [0.3] * 10).view())
    assert found is not None and found.skill
    assert "Chance alone does not explain" in verdict(found)
    assert found.interval[0] > found.by_luck


def test_differences_between_skilled_trials_are_no_luck() -> None:
    """The trials' own variance would count their real differences as luck; the verdict does not rest on it."""
    found = luck_of(with_returns([i * 0.02 for i in range(20)]).view())
    assert found is not None and found.skill and found.deflated_strict < found.deflated


def test_the_ratio_of_each_quarter_is_shown() -> None:
    """A winner that earned all it earned at once is no steady one."""
    burst = [5e-4] * 100 + [1e-5, -1e-5] * 150
    found = luck_of(
        study([replace(trial(0), series={"returns": [v + 1e-7 * (i % 7) for i, v in enumerate(burst)]})]).view()
    )
    assert found is not None and found.parts[0] > 50 * max(found.parts[1:])


def test_every_trial_whose_value_was_seen_counts() -> None:
    base = with_returns([0.0] * 5)
    pruned = [trial(n, 0.1, state="PRUNED", outcome="Pruned") for n in range(5, 12)]
    found = luck_of(study([*base.trials, *pruned]).view())
    assert found is not None and (found.tried, found.compared) == (12, 5)
    alone = luck_of(base.view())
    assert alone is not None and alone.by_luck < found.by_luck and alone.deflated > found.deflated


def test_trials_of_other_studies_on_the_same_data_count() -> None:
    view = with_returns([0.0] * 5).view()
    alone, beside = luck_of(view), luck_of(replace(view, alike=40))
    assert alone and beside and (alone.tried, beside.tried, beside.compared) == (5, 45, 5)
    assert beside.deflated < alone.deflated and beside.reality > alone.reality


def test_one_dominant_trial_is_a_choice_worth_making_and_equals_are_not() -> None:
    one, equals = luck_of(with_returns([0.0] * 19 + [0.5]).view()), luck_of(with_returns([0.3] * 20).view())
    assert one and equals and one.overfitting and equals.overfitting
    assert one.overfitting.probability < 0.05 and "is meaningful" in choice(one)
    assert equals.skill and equals.overfitting.loss < 0.05


def test_without_returns_the_page_says_what_it_takes() -> None:
    assert luck_of(study([trial(0), trial(1)]).view()) is None
    assert "This needs the returns of each trial" in head_of(study([trial(0), trial(1)]).page())
    assert "no single best trial" in head_of(study([trial(0, values=(1.0, 2.0))], SEVERAL).page())
    short = replace(trial(0), series={"returns": [1.0] * 5})
    assert luck_of(study([short]).view()) is None


def test_one_trial_series_that_never_move_and_lengths_that_differ() -> None:
    flat = replace(trial(1, 5.0), series={"returns": [0.0] * T})
    other = replace(trial(2, 0.5), series={"returns": [1e-4, -1e-4] * 100})
    for trials in ([flat], [flat, other], [flat, replace(flat, number=0)]):
        found = luck_of(study(trials).view())
        assert found is not None and not found.skill
        assert charts_of(study(trials).page())


def test_the_page_has_the_verdict_at_the_top_and_the_figures_below() -> None:
    page = head_of(with_returns([0.0] * 20).page())
    assert page.index("may be due to chance") < page.index('id="luck"') < page.index("reality check</td>")
    assert "deflated Sharpe ratio" in page and "overfitting (PBO)" in page
