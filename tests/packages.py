"""Programs that the tests need and a machine may lack: installed where that can be done, else told."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def installed(package: str) -> bool:
    """Install a Debian package; False where this is no Debian, or not root. One at a time, whoever asks."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return False
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with (Path(tempfile.gettempdir()) / "kubetuna-packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
            command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=quiet)
    return True
