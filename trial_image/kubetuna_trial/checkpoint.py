"""Checkpoints that survive a kill at any moment: written beside, synced, renamed, checked by a hash.

Two generations are kept. One that is damaged, or made under another configuration, is passed over. Large tensors,
such as a replay memory of gigabytes, are written as they lie and read as a map of the file, so that neither takes
the memory a second time. Saving takes a bounded share of a trial's time: one that would exceed it is left out,
unless the trial is about to stop.

A file is 32 bytes of hash, 8 of the header's length, the header (small values, and where the large ones lie), and
the large tensors.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from kubetuna_trial.wire import say

# Of the time since the attempt began.
SHARE = 0.02
# Bytes a second before any was measured: a slow volume.
USUAL_SPEED = 200 * 2**20
LARGE = 2**20
_KEPT = 2
_DIGEST_BYTES, _LENGTH_BYTES = 32, 8
_BLOCK = 16 * 2**20
# Where a tensor of any type may begin.
_ALIGNED = 64
_PLACE = "kubetuna: large tensor"


class Checkpoints:
    """The checkpoints of one trial in a folder; without a folder nothing is kept."""

    def __init__(
        self, folder: Path | None, configuration: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._configuration = configuration
        self._clock, self._began = clock, clock()
        self._spent, self._written = 0.0, 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def offer(self, number: int, state: dict[str, Any]) -> bool:
        """Save, unless that would take more than its share of the time; whether it did."""
        speed = self._written / self._spent if self._spent else USUAL_SPEED
        cost = _size(state) / speed
        if self._spent + cost > SHARE * (self._clock() - self._began):
            return False
        self.save(number, state)
        return True

    def save(self, number: int, state: dict[str, Any]) -> None:
        """Write checkpoint ``number`` durably, then remove all but the newest two."""
        if self._folder is None:
            return
        started = self._clock()
        path = self._folder / f"checkpoint-{number:06d}.pt"
        beside = path.with_suffix(".part")
        large: list[Tensor] = []
        header = _packed({"configuration": self._configuration, "state": _without(state, large), **_layout(large)})
        with beside.open("wb") as file:
            file.write(bytes(_DIGEST_BYTES))
            digest = _write(file, header, large)
            file.seek(0)
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        for old in self._newest_first()[_KEPT:]:
            old.unlink(missing_ok=True)
        self._spent, self._written = self._spent + self._clock() - started, self._written + _size(state)

    def load(self) -> dict[str, Any] | None:
        """The newest usable state, or None. Its large tensors are maps of the file."""
        for path in self._newest_first():
            state = self._read(path)
            if state is not None:
                return state
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.pt"), reverse=True) if self._folder else []

    def _read(self, path: Path) -> dict[str, Any] | None:
        with path.open("rb") as file:
            wanted, found = file.read(_DIGEST_BYTES), hashlib.sha256()
            while block := file.read(_BLOCK):
                found.update(block)
            if found.digest() != wanted:
                say(f"{path.name} is damaged; trying the one before it")
                return None
            file.seek(_DIGEST_BYTES)
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > path.stat().st_size:
                say(f"{path.name} was written by another version; starting afresh")
                return None
            content = torch.load(io.BytesIO(file.read(length)), map_location="cpu", weights_only=True)
        if content["configuration"] != self._configuration:
            say(f"{path.name} was made with other parameters, data or protocol; starting afresh")
            return None
        begin = _aligned(_DIGEST_BYTES + _LENGTH_BYTES + length)
        maps = [_map(path, begin + offset, dtype, shape) for offset, dtype, shape in content["large"]]
        state: dict[str, Any] = _with(content["state"], maps)
        return state


def _aligned(place: int) -> int:
    return -(-place // _ALIGNED) * _ALIGNED


def _packed(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _without(value: Any, large: list[Tensor]) -> Any:
    """The value with its large tensors taken out, and small ones that are a part of something larger copied."""
    if isinstance(value, Tensor):
        if value.nbytes >= LARGE:
            large.append(value.detach())
            return (_PLACE, len(large) - 1)
        return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value
    if isinstance(value, dict):
        return {key: _without(inner, large) for key, inner in value.items()}
    return [_without(inner, large) for inner in value] if isinstance(value, list) else value


def _with(value: Any, maps: list[Tensor]) -> Any:
    if isinstance(value, tuple) and len(value) == 2 and value[0] == _PLACE:
        return maps[value[1]]
    if isinstance(value, dict):
        return {key: _with(inner, maps) for key, inner in value.items()}
    return [_with(inner, maps) for inner in value] if isinstance(value, list) else value


def _layout(large: list[Tensor]) -> dict[str, Any]:
    offsets = np.cumsum([0, *(_aligned(one.nbytes) for one in large)]).tolist()
    return {"large": [[at, one.dtype, list(one.shape)] for at, one in zip(offsets, large, strict=False)]}


def _write(file: BinaryIO, header: bytes, large: list[Tensor]) -> bytes:
    """Everything after the hash, block by block; returns the hash."""
    digest = hashlib.sha256()
    for block in _blocks(header, large):
        file.write(block)
        digest.update(block)
    return digest.digest()


def _blocks(header: bytes, large: list[Tensor]) -> Iterator[bytes | memoryview]:
    yield len(header).to_bytes(_LENGTH_BYTES, "little")
    yield header
    begin = _DIGEST_BYTES + _LENGTH_BYTES + len(header)
    yield bytes(_aligned(begin) - begin)
    for one in large:
        flat = one.reshape(-1).view(torch.uint8)
        for start in range(0, len(flat), _BLOCK):
            yield flat[start : start + _BLOCK].cpu().numpy().data
        yield bytes(_aligned(len(flat)) - len(flat))


def _map(path: Path, offset: int, dtype: torch.dtype, shape: list[int]) -> Tensor:
    count = int(np.prod(shape)) * dtype.itemsize
    # Copied where it is written to: nothing changes the file.
    found = np.memmap(path, np.uint8, "c", offset, (count,))
    return torch.from_numpy(found).view(dtype).view(shape)


def _size(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(_size, inner))
