"""What a trainer reads from its environment and prints for the tuner: the wire format, and nothing else.

Environment: ``KUBETUNA_PARAMS`` (one JSON object), ``KUBETUNA_SEED``, ``KUBETUNA_CHECKPOINT_DIR``,
``KUBETUNA_OUT``. Output, one JSON object a line: reports (``step`` and metrics), pieces of a series, and the
word ``OutOfMemory``. A line for people goes to stderr beside each report, so that a trainer reads well alone.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetuna_trial.errors import InputError

SERIES_POINTS = 1_000
_VALUES_PER_LINE = 100


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What the tuner gave this attempt; every field has a default for a trainer that runs alone."""

    params: Mapping[str, Any]
    seed: int
    checkpoints: Path | None
    out: Path | None


def trial_context(environment: Mapping[str, str] = os.environ) -> TrialContext:
    """Read the environment. Raises InputError where a variable holds what it must not."""
    return TrialContext(
        params=_params(environment.get("KUBETUNA_PARAMS", "{}")),
        seed=_seed(environment.get("KUBETUNA_SEED", "0")),
        checkpoints=_folder(environment.get("KUBETUNA_CHECKPOINT_DIR")),
        out=_folder(environment.get("KUBETUNA_OUT")),
    )


def _params(text: str) -> Mapping[str, Any]:
    try:
        params = json.loads(text)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise InputError(f"KUBETUNA_PARAMS must hold a JSON object, not {text[:80]!r}")
    return params


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"KUBETUNA_SEED must be a whole number, not {text[:80]!r}") from None


def _folder(text: str | None) -> Path | None:
    return Path(text) if text else None


def emit(record: Mapping[str, object]) -> None:
    """Print one JSON line, at once: what stays in a buffer is lost with the process."""
    print(json.dumps(record, allow_nan=False), flush=True)


def say(text: str) -> None:
    """Print a line for people."""
    print(text, file=sys.stderr, flush=True)


def report(step: int, steps: int, metrics: Mapping[str, float]) -> None:
    """Report metrics at a step, numbered from 1. Raises FloatingPointError where one is not finite."""
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    if wrong:
        raise FloatingPointError(f"training diverged: step {step}: {', '.join(wrong)} is not finite")
    emit({"step": step, **metrics})
    say(f"report {step} of {steps}: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def series(name: str, values: Sequence[float]) -> None:
    """Print a series in pieces; one longer than the tuner keeps is thinned by summing neighbours."""
    kept = thinned(values, SERIES_POINTS)
    for start in range(0, len(kept), _VALUES_PER_LINE):
        part = [float(f"{value:.9g}") for value in kept[start : start + _VALUES_PER_LINE]]
        emit({"series": name, "start": start, "values": part})


def thinned(values: Sequence[float], limit: int) -> list[float]:
    """Sums over equal runs of neighbours, so that at most ``limit`` remain and their total is the same."""
    run = max(1, math.ceil(len(values) / limit))
    return [math.fsum(values[start : start + run]) for start in range(0, len(values), run)]


def announce_out_of_memory() -> None:
    """Say that the accelerator's memory did not suffice: an outcome of its own, not a crash."""
    emit({"outcome": "OutOfMemory"})
