"""A whole cluster in memory: the server, its controllers and its nodes, over one clock and one seed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator.kube.api_client import Api, collection
from kubetuna_operator.kube.objects import Owner
from tests.apiserver.job_controller import JobController
from tests.apiserver.kubelet import Kubelet
from tests.apiserver.pool import connect
from tests.apiserver.resources import NAMESPACES, Target
from tests.apiserver.server import Handler, Server
from tests.apiserver.workload_controllers import WorkloadControllers
from tests.fakes import FakeClock

NAMESPACE = "lab"
PATIENCE = 20.0


class Cluster:
    """A cluster with one namespace. Nothing happens in it but through requests, ``kubelet`` and ``step``."""

    def __init__(self, seed: int = 0, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.server = Server(self.clock, random.Random(seed))
        self.kubelet = Kubelet(self.server, NAMESPACE)
        self.jobs = JobController(self.server)
        self.workloads = WorkloadControllers(self.server)
        self.server.writes.create(Target(NAMESPACES), {"metadata": {"name": NAMESPACE}}, {})

    def api(self, handle: Handler | None = None) -> Api:
        """A connection, through ``handle`` where faults are to stand in between."""
        return connect(handle or self.server.handle, self.server.wait)

    def make_owner(self, document: Mapping[str, Any]) -> Owner:
        """Create an Experiment, to whom Pods can belong."""
        made = self.api().create(collection("experiments", NAMESPACE), document)
        return Owner(NAMESPACE, made["metadata"]["name"], made["metadata"]["uid"])

    def step(self) -> None:
        """Let the controllers and kubelets do all that is to be done now."""
        with self.server.changed:
            while any(
                [self.jobs.tick(), self.workloads.tick(), self.kubelet.tick(), self.server.deletion.collect()]
            ):
                pass

    def advance(self, seconds: float) -> None:
        """Let time go by, and what is due then happen."""
        with self.server.changed:
            self.clock.time += seconds
            self.server.tick()
            self.step()

    def until(self, condition: Callable[[], Any], drive: Callable[[], None] | None = None) -> Any:
        """Wait for what threads bring about, carrying the cluster on meanwhile (``drive`` and all that follows)."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if drive is not None:
                drive()
            self.step()
            if found := condition():
                return found
            assert time.monotonic() < deadline, "what was waited for did not happen"
            with self.server.changed:
                self.server.changed.wait(0.02)
