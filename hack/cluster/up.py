"""Bring the cluster up, or repair it: each part is made where it is missing and left alone where it is in order."""

from __future__ import annotations

import time

from hack.cluster import (
    base_image,
    binaries,
    containerd,
    controlplane,
    dns,
    gpus,
    kubeconfig,
    network,
    node,
    pki,
    room,
    volumes,
)
from hack.cluster.commands import say
from hack.cluster.layout import Layout
from hack.cluster.support import require_support


def up(layout: Layout) -> None:
    """Return when the node is Ready and its GPUs are advertised."""
    require_support()
    binaries.install(layout)
    began = time.monotonic()
    layout.state.mkdir(parents=True, exist_ok=True)
    room.open_room(layout)
    network.connect(layout)
    pki.make_pki(layout)
    kubeconfig.write_all(layout)
    containerd.start(layout)
    controlplane.start(layout)
    node.start(layout)
    dns.start(layout)
    node.wait_ready(layout)
    gpus.advertise(layout)
    say(f"the node is Ready after {time.monotonic() - began:.1f} s, with {gpus.wanted()} GPUs for the scheduler")
    volumes.make(layout, *volumes.DATABASE)
    base_image.load(layout)
