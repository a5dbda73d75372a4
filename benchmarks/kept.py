"""What long benchmarks found, kept in a file as it comes, so that a run that was cut off goes on.

``KUBETUNA_BENCH_KEEP`` names the file; it is good for the code that made it, and of no use after a change.
``KUBETUNA_BENCH_SEEDS=N`` asks for N times as many seeds where few are the default.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.measure import say

KEEP, SEEDS = "KUBETUNA_BENCH_KEEP", "KUBETUNA_BENCH_SEEDS"
Job = TypeVar("Job", bound=Hashable)
SAID_EVERY = 20


def ran(jobs: Sequence[Job], work: Callable[[Job], Any]) -> dict[Job, Any]:
    """What each job found, as JSON would give it back; those in the file are not run again."""
    path = os.environ.get(KEEP)
    known = _read(Path(path)) if path else {}
    found = {job: known[repr(job)] for job in jobs if repr(job) in known}
    left = [job for job in jobs if job not in found]
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for count, (job, one) in enumerate(zip(left, pool.map(work, left), strict=True), 1):
            found[job] = one
            if path:
                _append(Path(path), repr(job), one)
            if count % SAID_EVERY == 0:
                say(f"  {count} of {len(left)}")
    return found


def seeds(few: int) -> int:
    """As many as were asked for."""
    return few * int(os.environ.get(SEEDS, "1"))


def _read(path: Path) -> dict[str, Any]:
    """Every whole line; one that was being written when the run was cut off is none."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            job, one = json.loads(line)
            found[job] = one
    return found


def _append(path: Path, job: str, found: Any) -> None:
    ragged = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        file.write("\n" * ragged + json.dumps([job, found]) + "\n")
