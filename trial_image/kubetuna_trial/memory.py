"""What memory there is, and telling a lack of it from every other error, whichever library noticed it."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc_failed",
          "bad_alloc")  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller trial would have had room."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(word in str(error).lower() for word in _WORDS)


def require(needs: Mapping[str, int], device: torch.device) -> None:
    """Refuse before anything is taken: a machine whose memory ends stops other programs with this one.

    Raises:
        MemoryError: ``needs``, in bytes by what for, are more than is left.
    """
    needed, left = sum(needs.values()), available(device)
    if needed > left:
        parts = ", ".join(f"{what} {gib(size)}" for what, size in needs.items())
        raise MemoryError(f"{gib(needed)} are needed ({parts}), {gib(left)} are left")


def available(device: torch.device) -> int:
    """Bytes left on a device: of a GPU, or of the machine within the limits of its container and of the process."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return max(0, min(_left(), default=1 << 62))


def _left(root: Path = Path("/")) -> Iterator[int]:
    """What each limit leaves, as far as the system tells."""
    found = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in found:
        yield found["MemAvailable:"] * 1024
    group = root / "sys/fs/cgroup"
    limit, used = _number(group / "memory.max"), _number(group / "memory.current")
    if limit is not None and used is not None:
        # The page cache of the container's files is given back on demand.
        yield limit - used + _numbers(group / "memory.stat").get("inactive_file", 0)
    most, size = resource.getrlimit(resource.RLIMIT_AS)[0], _number(root / "proc/self/statm")
    if most != resource.RLIM_INFINITY and size is not None:
        yield most - size * resource.getpagesize()


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _numbers(path: Path) -> dict[str, int]:
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def gib(size: int) -> str:
    """A size for people."""
    return f"{size / 2**30:.1f} GiB"
