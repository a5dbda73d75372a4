"""Where the tiny model is kept between trials, and how two trials that need it at once get one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from kubetuna_trial.errors import InputError
from kubetuna_trial.wire import say

VARIABLE = "KUBETUNA_CACHE"


def cache_folder() -> Path:
    """``KUBETUNA_CACHE``, else ``~/.cache/kubetuna``, else (where no home can be written to) a temporary one."""
    given = os.environ.get(VARIABLE)
    if given:
        return _made(Path(given).absolute())
    try:
        return _made(Path.home() / ".cache" / "kubetuna")
    except (InputError, RuntimeError):
        folder = Path(tempfile.gettempdir()) / f"kubetuna-{os.getuid()}"
        say(f"the home folder cannot be written to; keeping the tiny model in {folder} (see {VARIABLE})")
        return _made(folder)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}; set {VARIABLE} to another folder") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written to; set {VARIABLE} to another folder")
    return folder


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache, made by ``make`` if absent: whole or not at all, and by one at a time."""
    home = cache_folder()
    target = home / name
    if target.is_dir():
        return target
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        for left_over in home.glob(f"{name}.part-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        beside = Path(tempfile.mkdtemp(prefix=f"{name}.part-", dir=home))
        make(beside)
        beside.chmod(0o755)
        beside.replace(target)
    return target
