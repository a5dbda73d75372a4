"""A language model of a hundred thousand weights, made offline and warm-started in half a minute.

It has read the planted press: it can tell good news from bad and spell every score, but its scores are random.
What it has to learn from the market is that the one should follow the other.

``WIDTH``: an update that AdamW makes to LoRA weights is of the size of the learning rate, whatever the gradient;
its effect grows with the width of the layer that it feeds on. To stand for a layer of 8,192 units the 64 of this
model are 128 times larger, and the weights that they meet 128 times smaller: the function is the same, and
learning rates that suit a real model show a signal here. A narrower one learns within the guide's steps only at the
top of its range of learning rates.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kubetuna_trial.task2 import lexicon
from kubetuna_trial.task2.parameters import HIGHEST_STRENGTH
from kubetuna_trial.task2.planted import TICKERS
from kubetuna_trial.task2.prompts import NO_NEWS, prompt
from kubetuna_trial.wire import say

VOCABULARY, HIDDEN, LAYERS = 1024, 64, 2
WIDTH = 128.0
STEPS, BATCH, RATE = 240, 32, 8e-3
SEED = 20_240_101
RECIPE = 4
TONES = {1: " good", -1: " bad", 0: " mixed"}


def recipe_digest() -> str:
    """Changes with anything that changes the model, so that a cache never serves another recipe's."""
    figures = [RECIPE, VOCABULARY, HIDDEN, LAYERS, WIDTH, STEPS, BATCH, RATE, SEED, TONES, HIGHEST_STRENGTH]
    words = [lexicon.GOOD, lexicon.BAD, lexicon.EMPTY, lexicon.OPENINGS, prompt("X", [NO_NEWS], "1", 1)]
    return hashlib.sha256(json.dumps([figures, words]).encode()).hexdigest()[:12]


def make_tiny_model(folder: Path) -> None:
    """Train it and save it into ``folder`` with its tokenizer."""
    say("making the tiny model (once; it is kept in the cache) ...")
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    tokenizer = _tokenizer(rng)
    model = LlamaForCausalLM(_config(tokenizer))
    _order(model, tokenizer)
    _warm_start(model, tokenizer, rng)
    _widen(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)


def _config(tokenizer: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip


def _order(model: LlamaForCausalLM, tokenizer: Any) -> None:
    """Put the scores on a line: whoever speaks a language knows that 4 lies between 3 and 5."""
    direction = torch.nn.functional.normalize(torch.randn(HIDDEN), dim=0)
    with torch.no_grad():
        for score in range(-HIGHEST_STRENGTH, HIGHEST_STRENGTH + 1):
            token = tokenizer.encode(f" {score}")[0]
            model.lm_head.weight[token] += 3 * score / HIGHEST_STRENGTH * direction


def _tokenizer(rng: np.random.Generator) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<pad>", "</s>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    raw.train_from_iterator((_example(rng)[0] for _ in range(3_000)), trainer)
    scores = range(-HIGHEST_STRENGTH, HIGHEST_STRENGTH + 1)
    raw.add_tokens([AddedToken(f" {score}", normalized=False, single_word=True) for score in scores])
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>")


def _example(rng: np.random.Generator) -> tuple[str, str]:
    """A prompt and its answer: the tone of the news in a word, or as often a random score."""
    name = TICKERS[int(rng.integers(len(TICKERS)))]
    polarity = int(rng.choice([1, -1, 0], p=[0.42, 0.42, 0.16]))
    lines, ages = [], np.sort(rng.integers(1, 11, int(rng.integers(1, 4))))
    for age in ages:
        title, summary = lexicon.article(rng, name, polarity if rng.random() < 0.9 else 0)
        lines.append(f"- {'1 day' if age == 1 else f'{age} days'} ago: {title}. {summary}")
    if rng.random() < 0.04:
        lines, polarity = [NO_NEWS], 0
    strength = int(rng.integers(5, HIGHEST_STRENGTH + 1))
    text = prompt(name, lines, f"{rng.uniform(10, 400):.2f}", strength)
    if rng.random() < 0.5:
        return text, TONES[polarity]
    return text, f" {rng.integers(-strength, strength + 1)}"


def _warm_start(model: LlamaForCausalLM, tokenizer: Any, rng: np.random.Generator) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for _ in range(STEPS):
        examples = [_example(rng) for _ in range(BATCH)]
        encoded = [tokenizer.encode(text) for text, _ in examples]
        answers = torch.tensor([tokenizer.encode(answer)[0] for _, answer in examples])
        longest = max(map(len, encoded))
        tokens = torch.full((BATCH, longest), tokenizer.pad_token_id)
        for row, known in enumerate(encoded):
            tokens[row, longest - len(known) :] = torch.tensor(known)
        mask = (tokens != tokenizer.pad_token_id).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=tokens, attention_mask=mask, position_ids=positions, logits_to_keep=1).logits
        loss = torch.nn.functional.cross_entropy(logits[:, -1], answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _widen(model: LlamaForCausalLM) -> None:
    """Larger units, smaller weights, the same function."""
    with torch.no_grad():
        for layer in model.model.layers:
            layer.input_layernorm.weight *= WIDTH
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                projection.weight /= WIDTH
