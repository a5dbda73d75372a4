"""Printing what a trial wrote, from the file that its attempt left."""

from __future__ import annotations

import shutil
from typing import BinaryIO

from kubetuna.errors import KubetunaError
from kubetuna.local.folders import LOG, attempt_folder
from kubetuna.study.record import StudyRecord
from kubetuna.trials.attempts import AttemptKey


def copy_log(seen: StudyRecord, number: int, attempt: int | None, out: BinaryIO) -> None:
    """Copy an attempt's log to ``out``.

    Raises:
        KubetunaError: no such trial or attempt, or its log lies on another machine.
    """
    trial = next((t for t in seen.trials if t.number == number), None)
    if trial is None:
        known = f"0 to {len(seen.trials) - 1}" if seen.trials else "none yet"
        raise KubetunaError(f"trial {number} does not exist; trials: {known}")
    wanted = attempt if attempt is not None else max((a.number for a in trial.attempts), default=0)
    repeat = next((a.repeat for a in trial.attempts if a.number == wanted), 0)
    path = attempt_folder(seen.folder, AttemptKey(number, wanted, repeat)) / LOG
    try:
        with path.open("rb") as log:
            shutil.copyfileobj(log, out)
    except FileNotFoundError as error:
        raise KubetunaError(
            f"no log of trial {number}, attempt {wanted} at {path}; "
            "logs lie in the folder and on the machine where the experiment ran"
        ) from error
