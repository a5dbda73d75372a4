"""Telling a lack of memory from every other error, whichever library noticed it."""

from __future__ import annotations

import torch

_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc_failed",
          "bad_alloc")  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller trial would have had room."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(word in str(error).lower() for word in _WORDS)
