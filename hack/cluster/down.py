"""Take the cluster down completely, and look afterwards whether anything is left.

The order matters: processes first, because the room, its mounts and its network live as long as one of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from hack.cluster import cgroups, network, room
from hack.cluster.commands import say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout


def down(layout: Layout) -> None:
    """End everything and say what went; raise ClusterError where something stayed."""
    processes = cgroups.kill_all(layout)
    veth = network.disconnect(layout)
    groups = cgroups.remove(layout)
    places = room.remove_places(layout)
    _require_no_mounts(layout)
    present = layout.state.exists()
    if present:
        shutil.rmtree(layout.state)
    remains = leftovers(layout)
    if remains:
        raise ClusterError("still there: " + ", ".join(remains))
    if not (processes or veth or groups or present):
        say("no cluster was up")
        return
    say(f"removed {processes} processes, {int(veth)} network device, {groups} cgroups, {places} mount points")
    say(f"removed {layout.state}; programs and images stay in {layout.cache}")


def leftovers(layout: Layout) -> list[str]:
    """Name whatever of the cluster is still there."""
    state = [f"folder {layout.state}"] if layout.state.exists() else []
    processes = [f"process {pid}" for pid in sorted(cgroups.processes(layout))]
    mounts = [f"mount {point}" for point in mounts_below(layout.state)]
    return [*processes, *mounts, *network.leftovers(layout), *cgroups.leftovers(layout), *state]


def mounts_below(folder: Path) -> list[str]:
    """Return the machine's mount points in a folder, and those that show a part of it elsewhere."""
    rows = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [row[4] for row in rows if any(Path(row[i]).is_relative_to(folder) for i in (3, 4))]


def _require_no_mounts(layout: Layout) -> None:
    """Never remove a tree that something is mounted in: what is mounted would be emptied with it."""
    mounts = mounts_below(layout.state)
    if mounts:
        raise ClusterError(f"unmount these first, they are not the cluster's: {', '.join(mounts)}")
