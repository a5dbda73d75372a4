"""4-bit weights: by bitsandbytes where it works, else emulated by rounding to the same sixteen values.

The emulation rounds each weight of a linear layer, in blocks of 64 with the block's largest magnitude as scale. It
takes no less memory, but a model trained on it meets the same error. Which of the two it was is reported.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 64
BITSANDBYTES, EMULATED, NONE = "bitsandbytes", "emulated", "none"

# The sixteen values of a weight over its block's scale: quantiles of the normal distribution, and 4-bit floats.
LEVELS = {
    "nf4": (
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
        0.7229568362236023, 1.0,
    ),
    "fp4": tuple(s * v for s in (1, -1) for v in (0, 0.0625 / 12, 2 / 12, 3 / 12, 4 / 12, 6 / 12, 8 / 12, 1.0)),
}  # fmt: skip


def rounded(weight: Tensor, kind: str) -> Tensor:
    """``weight`` as its 4-bit form would give it back; same shape and type."""
    levels = torch.tensor(sorted(set(LEVELS[kind])), dtype=torch.float32, device=weight.device)
    flat = weight.detach().float().flatten()
    blocks = nn.functional.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    borders = (levels[1:] + levels[:-1]) / 2
    nearest = levels[torch.bucketize(blocks / scale.clamp(min=torch.finfo(torch.float32).tiny), borders)]
    return (nearest * scale).flatten()[: flat.numel()].view(weight.shape).to(weight.dtype)


@torch.no_grad()
def emulate(model: nn.Module, kind: str) -> None:
    """Round the weights of every linear layer but the output, as bitsandbytes would."""
    output = getattr(model, "get_output_embeddings", lambda: None)()
    for module in model.modules():
        if module is not output and isinstance(module, nn.Linear):
            module.weight.copy_(rounded(module.weight, kind))
        elif type(module).__name__ == "Conv1D":
            weight: Any = module.weight
            weight.copy_(rounded(weight.T.contiguous(), kind).T)


def bitsandbytes_fault(device: str) -> str:
    """Why bitsandbytes cannot be used on a device; empty where it can."""
    try:
        library: Any = importlib.import_module("bitsandbytes")
        layer = library.nn.Linear4bit(BLOCK, BLOCK, compute_dtype=torch.float32).to(device)
        layer(torch.ones(1, BLOCK, device=device))
    except Exception as error:  # An absent library, one built for another device, a driver: all mean the same here.
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""
