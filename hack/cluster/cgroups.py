"""The cgroups of the node: one folder per hierarchy, with the Pods below it, and in one of them the daemons too.

Whatever a daemon starts inherits its cgroup, and the kubelet puts every Pod below the same folder. So this is
the complete list of the cluster's processes, which nothing can leave by forking: `down` relies on it.
Version 1 (one tree per controller) and version 2 (one tree) are both served.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

ROOT = Path("/sys/fs/cgroup")
KILL_WITHIN = 20.0


def unified() -> bool:
    """Tell whether the machine has version 2 only."""
    return (ROOT / "cgroup.controllers").exists()


def trees(layout: Layout) -> list[Path]:
    """Return the cluster's folder in every hierarchy, existing or not."""
    if unified():
        return [ROOT / layout.name]
    return [tree / layout.name for tree in sorted(ROOT.iterdir()) if (tree / "cgroup.procs").exists()]


def daemon_group(layout: Layout) -> Path:
    """Return the folder that the daemons run in; of version 1 trees only `pids`, as the others are not needed."""
    return (ROOT if unified() else ROOT / "pids") / layout.name / "daemons"


def create(layout: Layout) -> None:
    """Make the folders; the kubelet demands that its root exists in every hierarchy."""
    for tree in trees(layout):
        tree.mkdir(exist_ok=True)
        _inherit_cpus(tree)
    daemon_group(layout).mkdir(exist_ok=True)


def _inherit_cpus(tree: Path) -> None:
    """A new version 1 cpuset is empty and would accept no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = tree / name
        if not unified() and file.exists() and not file.read_text().strip():
            file.write_text((tree.parent / name).read_text())


def processes(layout: Layout) -> set[int]:
    """Return every process of the cluster, containers included."""
    found: set[int] = set()
    for tree in trees(layout):
        for folder in _folders(tree):
            found.update(_members(folder))
    return found


def _members(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _folders(tree: Path) -> Iterator[Path]:
    """Yield the cgroups of a tree, the deepest first."""
    for folder, _, _ in os.walk(tree, topdown=False):
        yield Path(folder)


def kill_all(layout: Layout) -> int:
    """Kill every process of the cluster and wait until none is left; return how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_WITHIN
    while remaining := processes(layout):
        if time.monotonic() > deadline:
            raise ClusterError(f"processes would not die: {sorted(remaining)}")
        killed |= remaining
        for pid in remaining:
            _kill(pid)
        time.sleep(0.05)
    return len(killed)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def remove(layout: Layout) -> int:
    """Remove the folders in every hierarchy; return how many there were."""
    removed = 0
    for tree in trees(layout):
        for folder in _folders(tree):
            removed += _remove_folder(folder)
    return removed


def _remove_folder(folder: Path) -> bool:
    """Remove one cgroup; the kernel says busy for a moment after its last process has gone."""
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return False
        except OSError:
            time.sleep(0.05)
        else:
            return True
    raise ClusterError(f"the cgroup {folder} would not go")


def leftovers(layout: Layout) -> list[str]:
    return [f"cgroup {tree}" for tree in trees(layout) if tree.exists()]
