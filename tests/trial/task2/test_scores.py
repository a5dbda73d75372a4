"""The score's distribution: exact, whatever the tokenizer makes of a number, and alone or in a batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from kubetuna_trial.errors import InputError
from kubetuna_trial.task2 import loading
from kubetuna_trial.task2.loading import Loaded
from kubetuna_trial.task2.policy import Policy
from kubetuna_trial.task2.scores import one_pass, score_tree
from tests.trial.task2 import worlds

PROMPTS = ["Up and up.\nScore:", "Down.\nScore:", "A longer story about nothing at all.\nScore:"]


def digits() -> Any:
    """A tokenizer of single characters: every number of two digits, and every minus, takes several tokens."""
    characters = sorted({c for text in PROMPTS for c in text} | set("-0123456789 \n"))
    raw = Tokenizer(models.WordLevel({c: i for i, c in enumerate(["<unk>", *characters])}, "<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", pad_token="<unk>")


# Two that heed a mask of their own, one whose window is shorter than a prompt, one that takes no such mask at all.
ONE_PASS = {"llama": True, "gpt2": True, "mistral": False, "bloom": False}


@pytest.fixture(scope="module", params=ONE_PASS)
def policy(request: pytest.FixtureRequest) -> Policy:
    torch.manual_seed(0)
    return tiny_random(request.param)


def tiny_random(kind: str) -> Policy:
    """A model of a kind, with random weights that are large enough to matter."""
    tokenizer = digits()
    named = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes: dict[str, dict[str, Any]] = {
        "llama": {**named, "intermediate_size": 64},
        "mistral": {**named, "intermediate_size": 64, "head_dim": 8, "sliding_window": 8},
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
        "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    }
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **sizes[kind])
    loading._without_dropout(config)
    model: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)
    return Policy(Loaded(model, tokenizer, "none"), 12, "cpu", 2)


def by_plain_forwards(policy: Policy, prompt: str) -> list[float]:
    """Each score's probability, one token after the other, each step restricted to what may follow."""
    spelled = {s: policy.tokenizer.encode(f" {s}") for s in range(-12, 13)}
    end = policy.tokenizer.encode("\n")
    for s, tokens in spelled.items():
        if any(o != s and other[: len(tokens)] == tokens for o, other in spelled.items()):
            spelled[s] = tokens + end
    start = policy.tokenizer.encode(prompt)
    found = []
    for tokens in spelled.values():
        total = 0.0
        for i, token in enumerate(tokens):
            follow = sorted({o[i] for o in spelled.values() if o[:i] == tokens[:i] and len(o) > i})
            with torch.no_grad():
                logits = policy.model(input_ids=torch.tensor([start + tokens[:i]])).logits[0, -1, follow]
            total += float(torch.log_softmax(logits, 0)[follow.index(token)])
        found.append(total)
    return found


def test_its_scores_are_those_of_many_plain_passes(policy: Policy) -> None:
    found = policy.log_probabilities(PROMPTS)
    for row, prompt in zip(found.tolist(), PROMPTS, strict=True):
        assert row == pytest.approx(by_plain_forwards(policy, prompt), abs=1e-4)
    assert found.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert len({round(value, 3) for value in found[0].tolist()}) > 20


@pytest.mark.parametrize("kind", ONE_PASS)
def test_one_pass_is_used_where_the_model_allows_it(kind: str) -> None:
    assert (tiny_random(kind)._lay is one_pass) == ONE_PASS[kind]


def test_company_does_not_change_a_prompts_scores(policy: Policy) -> None:
    together = policy.log_probabilities(PROMPTS)
    alone = torch.cat([policy.log_probabilities([prompt]) for prompt in PROMPTS])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_tiny_model_spells_every_score_in_one_token() -> None:
    tree = score_tree(worlds.loaded().tokenizer, 20)
    assert len(tree.nodes) == 1 and [len(path) for path in tree.paths] == [1] * 41


def test_a_number_that_begins_another_is_told_apart(policy: Policy) -> None:
    one, twelve = (policy.tree.paths[12 + s] for s in (1, 12))
    assert len(one) == len(twelve) == 3 and one[:2] == twelve[:2] and one[2] != twelve[2]


def test_a_tokenizer_without_digits_is_refused() -> None:
    raw = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, "<unk>"))
    with pytest.raises(InputError, match="spell whole numbers"):
        score_tree(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>"), 10)


def test_a_long_prompt_loses_its_beginning_not_its_question(policy: Policy) -> None:
    tokens = policy.tokens(["Up " * 2000 + "\nScore:"])[0]
    assert len(tokens) == 1024 and policy.tokenizer.decode(tokens).replace(" ", "").endswith("Score:")


def test_probabilities_of_a_fresh_tiny_model_say_nothing() -> None:
    policy = Policy(worlds.loaded(), 10, "cpu", 64)
    found = policy.log_probabilities(["News about XOM:\n- none\nLast close: 10.00\nScore:"])
    assert float(found.max()) < math.log(0.2)
