"""The room that the node lives in: a network and a mount namespace, held open by one sleeping process.

Kubernetes writes to fixed places (/var/lib/kubelet, /run/containerd, /var/log/pods ...). In this room those are
folders of the cluster's state, so the machine's own stay untouched, and every mount of every container vanishes
with the last process. The machine's /sys stays visible as it is: `ip netns exec` would hide the cgroups in it.
Only the mount points must exist outside. Those that were made for a room are listed, for all clusters of the cache
together, and the last of them to go removes them: a folder that is removed takes with it whatever another mount
namespace has mounted there.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import cgroups, processes
from hack.cluster.commands import run
from hack.cluster.layout import Layout
from hack.cluster.processes import Daemon

HOLDER = "room"
PLACES = {
    "run-containerd": "/run/containerd",
    "run-netns": "/run/netns",
    "lib-containerd": "/var/lib/containerd",
    "lib-cni": "/var/lib/cni",
    "lib-kubelet": "/var/lib/kubelet",
    "log-pods": "/var/log/pods",
    "log-containers": "/var/log/containers",
}
# Slave, so that the machine's own unmounts reach the room; shared below that, as volumes with propagation need.
SETUP = """\
mount --make-rshared / || exit 1
while [ $# -gt 0 ]; do mount --bind "$1" "$2" || exit 1; shift 2; done
exec sleep infinity
"""


def open_room(layout: Layout) -> None:
    """Make the room unless it is open; where its holder has gone, end what was left in it first."""
    if holder_pid(layout):
        return
    cgroups.create(layout)
    cgroups.kill_all(layout)
    _make_places(layout)
    pairs = [text for name, place in PLACES.items() for text in (str(layout.node / name), place)]
    unshare = ["unshare", "--net", "--mount", "--propagation", "slave"]
    processes.ensure(layout, Daemon(HOLDER, [*unshare, "sh", "-c", SETUP, "sh", *pairs]))
    _wait_for_setup(layout)


def _wait_for_setup(layout: Layout) -> None:
    """The holder is ready once it has turned from the shell into `sleep`."""
    while True:
        processes.require_alive(layout, HOLDER)
        pid = holder_pid(layout)
        if Path(f"/proc/{pid}/comm").read_text().strip() == "sleep":
            return


def _make_places(layout: Layout) -> None:
    with _made_places(layout) as made:
        for name, place in PLACES.items():
            (layout.node / name).mkdir(parents=True, exist_ok=True)
            made.update(_make_folder(Path(place)))


def _make_folder(folder: Path) -> list[str]:
    """Make a folder and its parents; return those that were not there."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [str(path) for path in missing]


@contextmanager
def _made_places(layout: Layout) -> Iterator[set[str]]:
    """The folders that were made for rooms; what the caller makes of them is kept. One caller at a time."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with (layout.cache / "made-folders.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        made = set(json.loads(file.read() or "[]"))
        yield made
        file.truncate(0)
        file.write(json.dumps(sorted(made)))


def remove_places(layout: Layout) -> int:
    """Remove the mount points that were made for rooms and that nobody uses; return how many."""
    removed: set[str] = set()
    with _made_places(layout) as made:
        used = _mount_points()
        for place in sorted(made, key=len, reverse=True):
            if not Path(place).exists() or (not _holds_any(place, used) and _remove_empty(Path(place))):
                removed.add(place)
        made -= removed
    return len(removed)


def _holds_any(place: str, used: set[str]) -> bool:
    return any(Path(point).is_relative_to(place) for point in used)


def _remove_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _mount_points() -> set[str]:
    """Where something is mounted, in any mount namespace of the machine."""
    found: set[str] = set()
    for file in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            found.update(line.split()[4] for line in file.read_text().splitlines())
        except OSError:
            # It has ended.
            continue
    return found


def holder_pid(layout: Layout) -> int | None:
    record = processes.read_record(layout, HOLDER)
    return record.pid if record and processes.is_alive(record) else None


def entry(layout: Layout) -> list[str]:
    """Return the start of a command line that runs in the room."""
    return ["nsenter", "--target", str(holder_pid(layout)), "--net", "--mount", "--wd=/", "--"]


def identity(layout: Layout) -> str:
    """Tell this room from one that was held open earlier."""
    return str(Path(f"/proc/{holder_pid(layout)}/ns/mnt").readlink())


def ensure(layout: Layout, daemon: Daemon) -> bool:
    """Start a daemon in the room unless it runs there; return whether it was started."""
    return processes.ensure(layout, daemon, entry(layout), identity(layout))


def run_inside(layout: Layout, argv: Sequence[str], *, stdin: str = "", timeout: float | None = None) -> str:
    """Run a program in the room and return what it printed."""
    return run([*entry(layout), *argv], stdin=stdin, timeout=timeout)
