"""Printing what a trial wrote, from the file that its attempt left."""

from __future__ import annotations

import shutil
from typing import BinaryIO

from kubetuna.errors import KubetunaError
from kubetuna.results.seen import Seen


def copy_log(seen: Seen, number: int, attempt: int | None, out: BinaryIO) -> None:
    """Copy an attempt's log to ``out``.

    Raises:
        KubetunaError: no such trial or attempt, or its log lies on another machine.
    """
    trial = next((t for t in seen.trials if t.number == number), None)
    if trial is None:
        known = f"0 to {len(seen.trials) - 1}" if seen.trials else "none yet"
        raise KubetunaError(f"trial {number} does not exist; trials: {known}")
    wanted = attempt if attempt is not None else max((a.number for a in trial.attempts), default=0)
    path = seen.folder / f"trial-{number}" / f"attempt-{wanted}" / "log"
    try:
        with path.open("rb") as log:
            shutil.copyfileobj(log, out)
    except FileNotFoundError as error:
        raise KubetunaError(
            f"no log of trial {number}, attempt {wanted} at {path}; "
            "logs lie in the folder and on the machine where the experiment ran"
        ) from error
