"""TensorBoard's event files, written from nothing: a record for each event, a protocol buffer in each."""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    """A number of variable length."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def block(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def whole(number: int, value: int) -> bytes:
    """A field that is a whole number."""
    return varint(number << 3) + varint(value)


def simple(value: float) -> bytes:
    """As PyTorch writes a scalar."""
    return varint(2 << 3 | 5) + struct.pack("<f", value)


def tensor(kind: int, content: bytes) -> bytes:
    """As TensorFlow 2 writes one."""
    return block(8, whole(1, kind) + block(2, b"") + block(4, content))


def event(step: int, *values: tuple[str, bytes]) -> bytes:
    """An event of some values, each of a tag."""
    time = varint(1 << 3 | 1) + struct.pack("<d", 1.7e9)
    summary = b"".join(block(1, block(1, tag.encode()) + value) for tag, value in values)
    return time + whole(2, step) + block(5, summary)


def record(data: bytes) -> bytes:
    """Its length and checksums around it."""
    return struct.pack("<QI", len(data), 0) + data + struct.pack("<I", 0)
