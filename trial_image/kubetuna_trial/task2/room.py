"""What a trial will hold in memory, known before a weight is loaded, and what fits: prompts a pass, recomputation.

Counted are the base model's weights by their form, LoRA with its gradients and the optimiser's moments, and what a
pass keeps for its gradients. There is no cache of keys and values: one pass gives the probability of every score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kubetuna_trial.memory import available, gib, require
from kubetuna_trial.task2.loading import Source, load_config
from kubetuna_trial.task2.lora import ATTENTION
from kubetuna_trial.task2.quantization import BITSANDBYTES, BLOCK
from kubetuna_trial.wire import say

# Of a weight in 4 bits, and its block's scale.
PACKED = 0.5 + 4 / BLOCK
# Of a LoRA weight in single precision: itself, its gradient, two moments.
TRAINED = 4 * 4
# What a layer keeps of each token, in units of its width and of its feed-forward width; measured.
WIDTHS, INNER = 16, 4
# Passes of fewer prompts waste more time than recomputing activations does.
FEWEST = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model.

    ``packed``: weights that 4 bits can hold; ``adapted``: LoRA weights for each rank; ``heads``: those that keep
    their weights of attention, which only a model with capped logits does.
    """

    weights: int
    packed: int
    adapted: int
    layers: int
    width: int
    inner: int
    vocabulary: int
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """How a trial fits: prompts that go through the model at once, and whether activations are computed twice."""

    per_pass: int
    recompute: bool
    needs: Mapping[str, int]


def shape_of(source: Source) -> Shape:
    """The sizes of a base model, from its configuration alone. Raises InputError."""
    from transformers import AutoModelForCausalLM

    config = load_config(source)
    text, kind = config.get_text_config(), AutoModelForCausalLM
    with torch.device("meta"):
        model: Any = kind.from_config(config)
    output = model.get_output_embeddings()
    linear = {n: m for n, m in model.named_modules() if _is_linear(m) and m is not output}
    sizes = {n: (min(m.weight.shape), max(m.weight.shape)) for n, m in linear.items()}
    usual = {name for pair in ATTENTION for name in pair}
    attention = [n for n in linear if n.rpartition(".")[2] in usual]
    width = int(getattr(text, "hidden_size", 0) or min(min(s) for s in sizes.values()))
    return Shape(
        weights=sum(p.numel() for p in model.parameters()),
        packed=sum(m.weight.numel() for m in linear.values()),
        adapted=sum(sum(sizes[n]) for n in attention or linear),
        layers=int(getattr(text, "num_hidden_layers", 1)),
        width=width,
        inner=int(getattr(text, "intermediate_size", None) or 4 * width),
        vocabulary=int(getattr(text, "vocab_size", 1)),
        heads=int(text.num_attention_heads) if getattr(text, "attn_logit_softcapping", None) else 0,
    )


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def needs(
    shape: Shape, rank: int, backend: str, device: str, tokens: int, nodes: int, per_pass: int, recompute: bool
) -> dict[str, int]:
    """Bytes by what for. ``tokens``: of the longest prompt; ``nodes``: positions whose logits are wanted."""
    size = 2 if device == "cuda" else 4
    packed = shape.packed * PACKED if backend == BITSANDBYTES else shape.packed * size
    length = tokens + nodes
    layer = per_pass * length * (WIDTHS * shape.width + INNER * shape.inner + 2 * shape.heads * length) * size
    kept = per_pass * length * shape.width * size * shape.layers + layer
    logits = per_pass * nodes * shape.vocabulary * (size + 4)
    return {
        "weights": int(packed + (shape.weights - shape.packed) * size),
        "LoRA": rank * shape.adapted * TRAINED,
        f"a pass of {per_pass}": (kept if recompute else layer * shape.layers) + logits,
    }


def room_for(shape: Shape, rank: int, backend: str, device: str, tokens: int, nodes: int, per_pass: int) -> Room:
    """The fastest way that fits.

    Raises:
        MemoryError: none does; with what the smallest would need, and what is left.
    """
    left = available(torch.device(device))
    rooms = [
        Room(count, recompute, needs(shape, rank, backend, device, tokens, nodes, count, recompute))
        for count, recompute in _ways(per_pass)
    ]
    found = next((room for room in rooms if sum(room.needs.values()) <= left), None)
    if found is None:
        require(rooms[-1].needs, torch.device(device))
    found = found or rooms[-1]
    parts = ", ".join(f"{what} {gib(size)}" for what, size in found.needs.items())
    again = ", activations computed twice" if found.recompute else ""
    say(f"memory: {parts}{again}; {gib(left)} left on {device}")
    return found


def _ways(per_pass: int) -> Iterator[tuple[int, bool]]:
    """Fewer prompts at a time first, then recomputation with as many as fit."""
    halves = [per_pass >> shift for shift in range(per_pass.bit_length())]
    yield from ((count, False) for count in halves if count >= min(FEWEST, per_pass))
    yield from ((count, True) for count in halves)
