"""Where LoRA goes: the attention of the language model, which is found by watching it read.

A checkpoint that also sees or hears has layers of the same names in its other parts. What takes no part in reading
a text would get no gradient, so only the layers that a text passes through are candidates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# Query and value projections by their names; the last two are those of latent attention.
ATTENTION = (("q_proj", "v_proj"), ("q_b_proj", "kv_b_proj"), ("q_proj", "kv_b_proj"))
# The layer behind a state-space model's convolution is fused with it, so that nothing can be added to it.
CONVOLUTION, FUSED = "conv1d", "out_proj"


def lora_targets(model: Any, tokenizer: Any) -> list[str]:
    """Names of the layers: query and value projections, or, where none has that name, all linear ones."""
    layers = _linear(model)
    read = _read(model, tokenizer, layers)
    for pair in ATTENTION:
        attention = [name for name in layers if _last(name) in pair]
        if {_last(name) for name in attention if name in read} == set(pair):
            return list(pair) if read.issuperset(attention) else [name for name in attention if name in read]
    output, mixers = model.get_output_embeddings(), _mixers(model)
    return [
        name
        for name, layer in layers.items()
        if name in read and layer is not output and not (_last(name) == FUSED and name.rpartition(".")[0] in mixers)
    ]


def _linear(model: Any) -> dict[str, nn.Module]:
    found = model.named_modules()
    return {n: m for n, m in found if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"}


@torch.no_grad()
def _read(model: Any, tokenizer: Any, layers: dict[str, nn.Module]) -> set[str]:
    """The layers that a text passes through. In training mode, as every pass of a policy."""
    passed: set[str] = set()
    hooks = [layer.register_forward_hook(lambda *_, n=name: passed.add(n)) for name, layer in layers.items()]
    tokens = torch.tensor([tokenizer("News:\n- none\nScore: 1")["input_ids"]], device=model.device)
    try:
        model.train()
        model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    finally:
        for hook in hooks:
            hook.remove()
    return passed


def _mixers(model: Any) -> set[str]:
    return {name.rpartition(".")[0] for name, _ in model.named_modules() if _last(name) == CONVOLUTION}


def _last(name: str) -> str:
    return name.rpartition(".")[2]
