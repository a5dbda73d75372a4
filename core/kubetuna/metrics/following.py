"""Follows what a trial writes into files, and says it line by line.

``file PATH`` passes a file's bytes on as they come; ``events FOLDER METRIC…`` makes a line of JSON of each report
that TensorBoard's event files hold. In a cluster this is the program of a container beside the trial's, whose log
is read in place of the trial's: it is handed over as text, so any image with Python 3.8 runs it, and it needs the
standard library alone. On SIGTERM, which comes once the trial has ended, it reads to the end and leaves.

What it reads is hostile: records are bounded, and a file that is broken is left where it breaks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import struct
import sys
import threading
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK = 1024 * 1024
LOOK_SECONDS = 0.25
# An event of numbers is far smaller; graphs and images are larger, and passed over.
RECORD_LIMIT = 64 * 1024
# Of one look, so that no folder takes all time and memory.
RECORDS, FILES = 2_000, 1_000
# TensorFlow's types of numbers (types.proto) as ``struct`` has them, and the fields in which a tensor keeps one.
FORMATS = {1: "<f", 2: "<d", 3: "<i", 9: "<q", 19: "<e"}
TENSOR_TYPE, TENSOR_CONTENT = 1, 4
FIXED, VARIED = {5: "<f", 6: "<d"}, (7, 10)
BROKEN = (ValueError, IndexError, struct.error, OverflowError)


def opened(path: str) -> int | None:
    """A handle of a regular file; nothing else is waited for."""
    with suppress(OSError, ValueError):
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
    return None


class FileTail:
    """The bytes of a file that were not read yet; of one that is begun anew, from its start."""

    def __init__(self, path: str) -> None:
        self.path, self.offset, self.inode = path, 0, -1

    def read(self) -> bytes:
        """The next ones."""
        handle = opened(self.path)
        if handle is None:
            return b""
        try:
            found = os.fstat(handle)
            if found.st_ino != self.inode or found.st_size < self.offset:
                self.inode, self.offset = found.st_ino, 0
            data = os.pread(handle, CHUNK, self.offset)
        except OSError:
            return b""
        finally:
            os.close(handle)
        self.offset += len(data)
        return data


class EventFiles:
    """The reports of all event files below a folder. ``offsets``: how far each was read, by its path in it."""

    def __init__(self, folder: str, metrics: Sequence[str], offsets: dict[str, int]) -> None:
        self.folder, self.metrics, self.offsets = folder, metrics, offsets

    def read(self) -> list[bytes]:
        """The next reports; none where all was read."""
        while True:
            before = dict(self.offsets)
            lines = list(self.reports())
            if lines or self.offsets == before:
                return lines

    def reports(self) -> Iterator[bytes]:
        """What the next records say, of all files together no more than is good at once."""
        left = RECORDS
        for name in self.names():
            for record in self.records(name, left):
                left -= 1
                line = report(record, os.path.dirname(name), self.metrics)
                if line:
                    yield line

    def names(self) -> list[str]:
        """The files in their order."""
        found = []
        for folder, _, files in os.walk(self.folder):
            found += [os.path.relpath(os.path.join(folder, f), self.folder) for f in files if "tfevents" in f]
            if len(found) >= FILES:
                break
        return sorted(found)[:FILES]

    def records(self, name: str, most: int) -> Iterator[bytes]:
        """The next whole records of a file: their length, its checksum, the bytes, their checksum."""
        handle = opened(os.path.join(self.folder, name))
        if handle is None:
            return
        try:
            size = os.fstat(handle).st_size
            for _ in range(most):
                at = self.offsets.get(name, 0)
                head = os.pread(handle, 12, at)
                end = at + 16 + (struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size)
                if end > size:
                    return
                self.offsets[name] = end
                yield os.pread(handle, end - at - 16, at + 12) if end - at - 16 <= RECORD_LIMIT else b""
        except OSError:
            return
        finally:
            os.close(handle)


def report(record: bytes, folder: str, metrics: Sequence[str]) -> bytes:
    """What an event says of the metrics, as a line of JSON; nothing where it says none, or is broken."""
    try:
        step = 0
        values: dict[str, float] = {}
        for number, value in fields(record):
            if number == 2 and isinstance(value, int):
                step = value
            elif number == 5 and isinstance(value, bytes):
                values.update(scalars(value, folder, metrics))
    except BROKEN:
        return b""
    return json.dumps({"step": step, **values}).encode() if values and step < 2**63 else b""


def scalars(summary: bytes, folder: str, metrics: Sequence[str]) -> Iterator[tuple[str, float]]:
    """The metrics that a summary's values stand for."""
    for number, one in fields(summary):
        if number == 1 and isinstance(one, bytes):
            found = dict(fields(one))
            tag = found.get(1)
            value = plain(found.get(2), "<f") if 2 in found else scalar(found.get(8))
            if isinstance(tag, bytes) and value is not None:
                for name in metrics_of(tag.decode("utf-8", "replace"), folder, metrics):
                    yield name, value


def metrics_of(tag: str, folder: str, metrics: Sequence[str]) -> Iterator[str]:
    """The metrics of a tag: itself; and those whose last part it is, in a folder of the name before, as in Katib.

    TensorFlow numbers tags that are there already: ``accuracy_1``.
    """
    bare = tag if tag in metrics else re.sub(r"_\d+\Z", "", tag)
    for metric in metrics:
        place, _, name = metric.rpartition("/")
        here = not place or f"/{folder}".endswith(f"/{place}")
        if tag == metric or (here and name in (tag, bare)):
            yield metric


def scalar(tensor: int | bytes | None) -> float | None:
    """The one number of a tensor; None where it is of another type or shape."""
    found = list(fields(tensor)) if isinstance(tensor, bytes) else []
    kind = next((value for number, value in found if number == TENSOR_TYPE), 0)
    for number, value in found:
        if number == TENSOR_CONTENT:
            return plain(value, FORMATS.get(kind if isinstance(kind, int) else 0, ""))
        if number in FIXED:
            return plain(value, FIXED[number])
        if number in VARIED:
            whole = varint(value, 0)[0] if isinstance(value, bytes) else value
            return float(whole - 2**64 if whole >= 2**63 else whole)
    return None


def plain(value: int | bytes | None, form: str) -> float | None:
    """A number of these bytes; of a short float the decimal that is meant."""
    if not form or not isinstance(value, bytes) or len(value) != struct.calcsize(form):
        return None
    number = float(struct.unpack(form, value)[0])
    if form == "<f" and abs(number) < 1e38:
        shorter = (float(f"{number:.{digits}g}") for digits in (6, 7, 8))
        return next((short for short in shorter if struct.pack("<f", short) == value), number)
    return number


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: numbers of variable length as they are, all others as bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
            yield key >> 3, value
            continue
        size, at = varint(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, len(data) + 1), at)
        if at + size > len(data):
            raise ValueError("a field is longer than what holds it, or of a kind that is not known")
        yield key >> 3, data[at : at + size]
        at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            return value & (2**64 - 1), at
    raise ValueError("a number has too many bytes")


def main(words: Sequence[str]) -> None:
    """Follow until SIGTERM, and then to the end."""
    kind, path, *metrics = words
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    tail, events = FileTail(path), EventFiles(path, metrics, {})
    while True:
        last = over.is_set()
        more = True
        while more:
            data = tail.read() if kind == "file" else b"".join(line + b"\n" for line in events.read())
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            more = bool(data)
        if last:
            break
        over.wait(LOOK_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
