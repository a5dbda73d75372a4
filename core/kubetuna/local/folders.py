"""Where an attempt keeps its files, and how they are written: whole or not at all.

``ROOT/trial-N/attempt-A/`` holds ``order.json`` (what was asked; there while the attempt is known),
``state.json`` and ``exit.json`` (what its supervisor saw), ``log``, ``out/`` and, where its metrics are not in the
log, ``metrics/``. ``ROOT/trial-N/checkpoint/``
is shared by all attempts of the trial.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubetuna.experiment.model import Collector
from kubetuna.trials.attempts import AttemptKey

REQUEST, STATE, EXIT, LOG, METRICS = "order.json", "state.json", "exit.json", "log", "metrics"

_NAME = re.compile(r"trial-(\d+)/(?:repeat-(\d+)-)?attempt-(\d+)\Z")


def attempt_folder(root: Path, key: AttemptKey) -> Path:
    """The folder of one attempt."""
    repeat = f"repeat-{key.repeat}-" if key.repeat else ""
    return root / f"trial-{key.trial}" / f"{repeat}attempt-{key.attempt}"


def checkpoint_folder(root: Path, key: AttemptKey) -> Path:
    """The folder that all attempts of a trial (and repeat) share."""
    name = f"checkpoint-{key.repeat}" if key.repeat else "checkpoint"
    return root / f"trial-{key.trial}" / name


def metrics_path(root: Path, key: AttemptKey, collector: Collector) -> Path:
    """What stands in for the collector's path."""
    return attempt_folder(root, key) / METRICS / Path(collector.path).relative_to(collector.folder)


def known_attempts(root: Path) -> Iterator[AttemptKey]:
    """Every attempt that was requested here and not deleted since."""
    for path in sorted(root.glob(f"trial-*/*attempt-*/{REQUEST}")):
        match = _NAME.search(path.parent.as_posix())
        if match:
            yield AttemptKey(int(match.group(1)), int(match.group(3)), int(match.group(2) or 0))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object so that a reader finds all of it or nothing."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(dict(value)))
    part.replace(path)
