"""Can this machine carry the node at all? Asked first, so that the answer is one line, not half a cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hack.cluster.commands import succeeds
from hack.cluster.errors import Unsupported


def require_support() -> None:
    """Raise Unsupported with the first reason found."""
    reason = why_unsupported()
    if reason:
        raise Unsupported(f"a cluster cannot run here: {reason}")


def why_unsupported() -> str | None:
    """Name what is missing, or None where the cluster can run."""
    if sys.platform != "linux":
        return f"it needs Linux, this is {sys.platform}"
    if os.geteuid() != 0:
        return "it needs root, for network namespaces and a container runtime"
    if not Path("/sys/fs/cgroup").is_dir() or not any(Path("/sys/fs/cgroup").iterdir()):
        return "no cgroups are mounted at /sys/fs/cgroup"
    if not succeeds(["unshare", "--net", "--mount", "true"]):
        return "this machine does not allow new network and mount namespaces"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "the kernel has no overlay file system"
    return None
