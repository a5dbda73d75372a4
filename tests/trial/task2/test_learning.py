"""What a model learns from the market: much where the news tells something, nothing where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from kubetuna_trial.task2.artifacts import write_artifacts
from kubetuna_trial.task2.evaluation import Judgement, baselines, judge
from kubetuna_trial.task2.learning import Method
from kubetuna_trial.task2.loading import load, source_of
from kubetuna_trial.task2.planted import STORM
from kubetuna_trial.task2.policy import saved_policy
from kubetuna_trial.task2.prompts import Prompts
from kubetuna_trial.task2.protocol import protocol_of
from kubetuna_trial.task2.training import Trial, scores
from tests.trial.task2 import worlds


def trained(shuffled: bool) -> Trial:
    """Forty steps on the days after the storm, in a world whose test days they never see."""
    market = worlds.market(seed=3, shuffled=shuffled, days=worlds.DAYS)
    since = market.train.stop - int(STORM[1] * worlds.DAYS)
    plan = worlds.plan(reports=1, method=Method(), max_train_steps=40, max_env_steps=since)
    trial = worlds.trial(plan, market)
    trial.train(1)
    return trial


def unseen(trial: Trial, shuffled: bool) -> tuple[Judgement, Judgement, dict[str, float]]:
    """Tuned, untuned and the rest, on the test days."""
    market = worlds.market(seed=3, shuffled=shuffled, days=worlds.DAYS, test=True)
    protocol = protocol_of(market)
    days = protocol.days()
    assert len(days) * len(market.world.tickers) >= 300
    assert market.world.dates[days[0]] > trial.market.world.dates[-1]
    tuned = judge(scores(trial.policy, market, days), market, protocol, days)
    with trial.policy.untuned():
        untuned = judge(scores(trial.policy, market, days), market, protocol, days)
    return tuned, untuned, baselines(market, protocol, days)


@pytest.fixture(scope="module")
def planted() -> Trial:
    return trained(shuffled=False)


def test_on_planted_news_the_tuned_model_beats_all_on_unseen_dates(planted: Trial) -> None:
    tuned, untuned, rest = unseen(planted, False)
    assert tuned.hit_rate >= untuned.hit_rate + 0.08
    assert tuned.hit_rate >= rest["random_hit_rate"] + 0.08
    assert tuned.performance.total_return > max(rest["buy_and_hold_return"], untuned.performance.total_return, 0)


def test_its_scores_rank_the_moves(planted: Trial) -> None:
    market = worlds.market(seed=3, test=True)
    days = protocol_of(market).days()
    moves = market.future_return(np.arange(days.start, days.stop), 3)
    found = scores(planted.policy, market, days).mean
    assert np.corrcoef(found.ravel(), moves.ravel())[0, 1] >= 0.3


def test_on_shuffled_news_there_is_nothing_to_learn() -> None:
    tuned, untuned, rest = unseen(trained(shuffled=True), True)
    assert abs(tuned.hit_rate - untuned.hit_rate) <= 0.1
    assert abs(tuned.hit_rate - rest["random_hit_rate"]) <= 0.1


def test_only_lora_weights_have_changed(planted: Trial) -> None:
    before = dict(worlds.loaded().model.named_parameters())
    after = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): weight
        for name, weight in planted.policy.model.named_parameters()
        if name not in planted.policy.weights
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(planted.policy.weights) == 8 and all(w.abs().sum() > 0 for w in planted.policy.weights.values())


def test_every_lora_gradient_is_there_finite_and_not_zero_after_the_first_step() -> None:
    trial = worlds.trial(worlds.plan())
    for _ in range(2):
        trial.learner.advance()
    for name, weight in trial.policy.weights.items():
        assert weight.grad is not None and bool(torch.isfinite(weight.grad).all()), name
        assert float(weight.grad.abs().sum()) > 0, name


def test_a_saved_adapter_gives_the_same_scores_with_peft_alone(planted: Trial, tmp_path: Path) -> None:
    write_artifacts(tmp_path, planted, {"hit_rate": 0.5}, np.array([0.01, 0.02]))
    base = load(source_of(str(tmp_path / "model"), None, False), None, "cpu")
    adapter = tmp_path / "adapter"
    assert PeftModel.from_pretrained(base.model, str(adapter)).peft_config[
        "default"
    ].base_model_name_or_path == str(tmp_path / "model")
    texts = Prompts(planted.market, 10).of_day(planted.market.window[0])
    fresh = load(source_of(str(tmp_path / "model"), None, False), None, "cpu")
    found = saved_policy(fresh, adapter, 10, "cpu", 64).log_probabilities(texts)
    assert torch.equal(found, planted.policy.log_probabilities(texts))
    assert (tmp_path / "returns.csv").read_text().splitlines()[0] == "date,return"
