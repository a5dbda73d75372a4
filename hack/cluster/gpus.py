"""GPUs that are not there: an extended resource written into the node's status, for the scheduler to count.

A container that asks for one gets scheduled like on a GPU node and sees no device. The kubelet sets the figure to
zero when it starts anew, so it is looked at by each `up` and after each restart.
"""

from __future__ import annotations

import os
from typing import Any

from hack.cluster import api
from hack.cluster.layout import Layout
from hack.cluster.node import NODE_PATH

RESOURCE = "nvidia.com/gpu"
DEFAULT_COUNT = 4


def wanted() -> int:
    """Return how many GPUs the node shall show: KUBETUNA_CLUSTER_GPUS, or 4."""
    return int(os.environ.get("KUBETUNA_CLUSTER_GPUS", DEFAULT_COUNT))


def advertise(layout: Layout, count: int | None = None) -> bool:
    """Write the number of GPUs where the node shows another one; return whether it did."""
    figure = str(wanted() if count is None else count)
    if advertised(layout) == (figure, figure):
        return False
    escaped = RESOURCE.replace("/", "~1")
    places = [f"/status/{part}/{escaped}" for part in ("capacity", "allocatable")]
    patch = [{"op": "add", "path": place, "value": figure} for place in places]
    api.call(layout, "PATCH", f"{NODE_PATH}/status", patch, api.JSON_PATCH)
    return True


def advertised(layout: Layout) -> tuple[str, str]:
    """Return what the node shows as capacity and as allocatable."""
    status: dict[str, Any] = api.call(layout, "GET", NODE_PATH)["status"]
    return status.get("capacity", {}).get(RESOURCE, ""), status.get("allocatable", {}).get(RESOURCE, "")
