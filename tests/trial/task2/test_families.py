"""Real families of models, small and random: exact scores, gradients where a text passes, none elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from kubetuna_trial.errors import InputError
from kubetuna_trial.task2.loading import load, source_of
from kubetuna_trial.task2.parameters import parse_parameters
from kubetuna_trial.task2.policy import Tuned, new_policy
from kubetuna_trial.task2.scores import one_pass
from tests.trial.task2 import families

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "task2.md"
PROMPTS = ["News about A:\n- it rises\nScore:", "Score:", "News about BB:\n- none\n- it falls again\nScore:"]


def policy(family: str, folder: Path) -> Tuned:
    source = source_of(str(families.make(family, folder)), None, False)
    params = parse_parameters({"signal_strength": 12, "lora_dropout": 0})
    return new_policy(load(source, None, "cpu"), source, params, 1, "cpu", 8)


@torch.no_grad()
def plain(asked: Tuned, prompt: str) -> torch.Tensor:
    """One pass a node of the tree, without padding, mask or positions: what the model itself says."""
    (tokens,), rows = asked.tokens([prompt]), []
    for node in range(len(asked.tree.nodes)):
        row = torch.tensor([[*tokens, *asked.tree.way(node)]])
        rows.append(asked.model(input_ids=row, use_cache=False).logits[0, -1])
    return asked.tree.log_probabilities(torch.stack(rows)[None])[0]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_family_gives_exact_scores_and_learns(family: str, tmp_path: Path) -> None:
    asked = policy(family, tmp_path)
    assert len(asked.tree.nodes) > 1, "a score is several tokens"
    assert rows()[family][1] == ("one pass" if asked._lay is one_pass else "a row for each token")
    found = asked.log_probabilities(PROMPTS)
    for row, prompt in zip(found, PROMPTS, strict=True):
        assert torch.allclose(row, plain(asked, prompt), atol=2e-3)
    for weight in asked.weights.values():
        torch.nn.init.normal_(weight, std=0.1)
    asked.forward(asked.tokens(PROMPTS)).gather(1, torch.tensor([[0], [3], [9]])).sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in asked.weights.values())


def test_what_only_sees_gets_no_weights(tmp_path: Path) -> None:
    asked = policy("Gemma 3 (text and images)", tmp_path)
    seeing = [name for name, _ in asked.model.named_modules() if name.endswith("q_proj") and "vision" in name]
    assert seeing and len(asked.weights) == 8 and not any("vision" in name for name in asked.weights)


def rows() -> dict[str, tuple[str, str]]:
    """The documentation's table: of each family where LoRA goes, and how a prompt's scores are found."""
    table = PAGE.read_text(encoding="utf-8").partition("## Model families")[2].partition("\n## ")[0]
    found = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", table, re.MULTILINE)
    return {family: (lora, how) for family, lora, how in found[1:]}


def test_every_family_is_in_the_table_and_every_row_was_run() -> None:
    assert list(rows()) == list(families.FAMILIES)


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as told:
        load(source_of(str(folder), None, False), None, "cpu")
    return str(told.value)


@pytest.mark.parametrize(("change", "told"), [
    ({"quantization_config": {"quant_method": "of_tomorrow", "bits": 3}}, "held as 'of_tomorrow'"),
    ({"model_type": "of_tomorrow"}, "its configuration cannot be loaded"),
])  # fmt: skip
def test_what_the_library_does_not_know_is_refused_in_one_line(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    families.make("Llama 2, 3", tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    assert told in refused(tmp_path) and "\n" not in refused(tmp_path)


def test_shared_weights_are_shared_when_they_come_back(tmp_path: Path) -> None:
    words = families.tokenizer()
    config = families.FAMILIES["Llama 2, 3"](len(words))
    config.tie_word_embeddings = True
    made: Any = transformers.AutoModelForCausalLM.from_config(config)
    made.save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    model = load(source_of(str(tmp_path), None, False), None, "cpu").model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
