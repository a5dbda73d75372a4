"""Families of models as random small ones, with a tokenizer that spells numbers in several tokens, as most do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = ["News about AAPL:\n- 2 days ago: shares rise. They rise again\nLast close: 12.00", "Score: -1", "Score: 10"]
SIZES = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip
LATENT = {
    "num_key_value_heads": 4, "kv_lora_rank": 16, "q_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "moe_intermediate_size": 32, "first_k_dense_replace": 1,
}  # fmt: skip
EXPERTS = {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
EYES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip


def _of(name: str, **changes: Any) -> Callable[[int], Any]:
    return lambda words: getattr(transformers, name)(**{**SIZES, "vocab_size": words, **changes})


def _gemma_with_eyes(words: int) -> Any:
    text = _of("Gemma3TextConfig", head_dim=16)(words).to_dict()
    return transformers.Gemma3Config(text_config=text, vision_config=EYES, mm_tokens_per_image=4)


# By the names of the table in the documentation.
FAMILIES: Mapping[str, Callable[[int], Any]] = {
    "Llama 2, 3": _of("LlamaConfig"),
    "Qwen 2, 2.5": _of("Qwen2Config"),
    "Qwen 3": _of("Qwen3Config", head_dim=16),
    "Qwen 3 MoE": _of("Qwen3MoeConfig", **EXPERTS),
    "Gemma 2": _of("Gemma2Config", head_dim=16),
    "Gemma 3 (text)": _of("Gemma3TextConfig", head_dim=16),
    "Gemma 3 (text and images)": _gemma_with_eyes,
    "Mistral": _of("MistralConfig"),
    "Phi 1, 2": _of("PhiConfig", num_key_value_heads=4),
    "Phi 3, 4": _of("Phi3Config", pad_token_id=0),
    "GPT-2": _of("GPT2Config", n_embd=64, n_layer=2, n_head=4, n_positions=512),
    "GPT-NeoX, Pythia": _of("GPTNeoXConfig"),
    "Falcon": _of("FalconConfig"),
    "OLMo 2": _of("Olmo2Config"),
    "SmolLM 3": _of("SmolLM3Config", pad_token_id=0),
    "Granite": _of("GraniteConfig"),
    "DeepSeek V3": _of("DeepseekV3Config", **LATENT),
    "LFM 2": _of("Lfm2Config", layer_types=["conv", "full_attention"]),
    "Mamba": _of("MambaConfig", state_size=8),
}


@cache
def tokenizer() -> Any:
    """Byte-level, of few words: no number is one token."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<pad>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    raw.train_from_iterator(TEXT, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>")


def make(family: str, folder: Path) -> Path:
    """A random model of a family, saved with its tokenizer."""
    torch.manual_seed(0)
    words = tokenizer()
    model: Any = transformers.AutoModelForCausalLM.from_config(FAMILIES[family](len(words)))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
