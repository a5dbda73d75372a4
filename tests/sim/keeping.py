"""What an operator's process keeps once all is over: nothing, but a true picture of the Pods that are there."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from kubetuna_operator import LABEL_EXPERIMENT
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.experiment.controller import Controller
from kubetuna_operator.kube.work_queue import WorkQueue
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.pods.status import view
from tests.apiserver.cluster import Cluster
from tests.apiserver.kubelet import name_of
from tests.sim.network import Network

# Watches of Experiments and of Pods; likewise of each further group.
WATCHES = 2


def outdated(known: PodIndex, cluster: Cluster) -> list[str]:
    """The Pods of which something else is known than the API server has."""
    there = {
        name_of(pod): view(pod)
        for pod in cluster.kubelet.pods()
        if LABEL_EXPERIMENT in (pod["metadata"].get("labels") or {})
    }
    believed = {pod.name: pod for pod in known._pods.values()}
    return sorted(name for name in {*there, *believed} if there.get(name) != believed.get(name))


def kept(
    context: OperatorContext, controller: Controller, katib: Sequence[WorkQueue[Any]], network: Network
) -> dict[str, int]:
    """How much there is of what must not be kept; ``katib`` are the queues of Katib's group."""
    queues = [controller._queue, *context.deferred._queues.values()]
    waiting = [part for queue in queues for part in (queue._ready, queue._due, queue._working, queue._failures)]
    # What Katib's group is refused is looked at again for ever: a name may become free.
    waiting += [part for queue in katib for part in (queue._ready, queue._working, queue._failures)]
    return {
        "experiments that are carried out": len(controller._runs),
        "experiments whose Pods are listened for": len(context.pods._changes),
        "keys in work queues": sum(map(len, waiting)),
        "deferred writes": len(context.deferred._writes),
        "reads of logs": context.read_budget._nodes.total(),
        "watches": _superfluous_watches(network, WATCHES * (1 + len(katib))),
    }


def _superfluous_watches(network: Network, needed: int) -> int:
    if len(network._deliveries) > needed:
        # All threads have one stack here: an error that is kept holds the frames of what it interrupted, too.
        gc.collect()
        network.deliver()
    return max(0, len(network._deliveries) - needed)
