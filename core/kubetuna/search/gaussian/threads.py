"""One thread of linear algebra for as long as a proposal takes.

Its matrices are small: further threads wait for each other, on a busy machine ten times longer than the work
takes, and sum up in another order, so that the last digits depend on the number of cores. numpy and scipy bring an
OpenBLAS each, which reads a number of threads from the environment only when it is loaded, and takes one from a
function at any time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

_MAPS = Path("/proc/self/maps")
# As the wheels of numpy and scipy call them, with 64 bits and without, and as a system's own does.
_NAMES = tuple(f"{prefix}openblas_{{}}_num_threads{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", ""))


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold every OpenBLAS of this process to one thread; where there is none, nothing."""
    # Both are loaded before it is looked which there are.
    import scipy.linalg  # noqa: F401

    found = _libraries()
    before = [count() for count, _ in found]
    for _, limit in found:
        limit(1)
    try:
        yield
    finally:
        for (_, limit), threads in zip(found, before, strict=True):
            limit(threads)


@lru_cache(maxsize=1)
def _libraries() -> tuple[tuple[Callable[[], int], Callable[[int], object]], ...]:
    """How the number of threads of each is asked and set."""
    lines = _MAPS.read_text().splitlines() if _MAPS.exists() else []
    paths = dict.fromkeys(line.split(maxsplit=5)[-1] for line in lines if "openblas" in line)
    loaded = [ctypes.CDLL(path) for path in paths]
    return tuple(
        (getattr(library, name.format("get")), getattr(library, name.format("set")))
        for library in loaded
        for name in _NAMES
        if hasattr(library, name.format("set")) and hasattr(library, name.format("get"))
    )
