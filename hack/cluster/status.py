"""What runs and what does not, for a person and for scripts."""

from __future__ import annotations

from hack.cluster import controlplane, gpus, node, processes, room
from hack.cluster.commands import say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

DAEMONS = (room.HOLDER, "containerd", *controlplane.DAEMONS, "kubelet", "kube-proxy", "coredns")
INCOMPLETE = 3


def print_status(layout: Layout) -> int:
    """Print a line for each daemon and one for the node; return 3 where something is missing."""
    if room.holder_pid(layout) is None:
        say("the cluster is not up")
        return INCOMPLETE
    missing = [name for name in DAEMONS if not _print_daemon(layout, name)]
    return INCOMPLETE if not _print_node(layout) or missing else 0


def _print_daemon(layout: Layout, name: str) -> bool:
    record = processes.read_record(layout, name)
    alive = record is not None and processes.is_alive(record)
    say(f"{name:24} {f'pid {record.pid}' if record and alive else 'not running'}")
    return alive


def _print_node(layout: Layout) -> bool:
    try:
        ready = node.is_ready(layout)
        say(f"{'node':24} {'Ready' if ready else 'not Ready'}, GPUs {gpus.advertised(layout)[1] or 0}")
    except ClusterError as error:
        say(f"{'node':24} unknown: {error}")
        return False
    return ready


def require_up(layout: Layout) -> None:
    if room.holder_pid(layout) is None:
        raise ClusterError("the cluster is not up; start it with: python -m hack.cluster up")
