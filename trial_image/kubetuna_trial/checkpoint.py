"""Checkpoints that survive a kill at any moment: written beside, synced, renamed, checked by a hash.

Two generations are kept. One that is damaged, or made under another configuration, is passed over.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from kubetuna_trial.wire import say

_KEPT = 2
_DIGEST_BYTES = 32


class Checkpoints:
    """The checkpoints of one trial in a folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, configuration: str) -> None:
        self._folder = folder
        self._configuration = configuration
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, number: int, state: dict[str, Any]) -> None:
        """Write checkpoint ``number`` durably, then remove all but the newest two."""
        if self._folder is None:
            return
        buffer = io.BytesIO()
        torch.save({"configuration": self._configuration, "state": state}, buffer)
        data = buffer.getbuffer()
        path = self._folder / f"checkpoint-{number:06d}.pt"
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            file.write(hashlib.sha256(data).digest())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        for old in self._newest_first()[_KEPT:]:
            old.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The newest usable state, or None."""
        for path in self._newest_first():
            state = self._read(path)
            if state is not None:
                return state
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.pt"), reverse=True) if self._folder else []

    def _read(self, path: Path) -> dict[str, Any] | None:
        data = path.read_bytes()
        if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
            say(f"{path.name} is damaged; trying the one before it")
            return None
        content = torch.load(io.BytesIO(data[_DIGEST_BYTES:]), map_location="cpu", weights_only=True)
        if content["configuration"] != self._configuration:
            say(f"{path.name} was made with other parameters, data or protocol; starting afresh")
            return None
        state: dict[str, Any] = content["state"]
        return state
