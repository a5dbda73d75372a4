"""An API server that is away for half a minute, in a cluster of its own: every other test needs theirs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hack.cluster import controlplane, processes
from hack.cluster.base_image import REFERENCE
from hack.cluster.layout import Layout

from tests.cluster.conftest import Cluster
from tests.cluster.operators import PodHistory, World
from tests.cluster.test_operator import CURVE

pytestmark = pytest.mark.cluster

SECONDS = 30.0


def test_an_api_server_that_is_away_costs_no_trial_and_no_attempt(
    second: Layout, postgres_url: str, tmp_path: Path
) -> None:
    world = World(Cluster(second.kubeconfig, REFERENCE, ours=True), "outage", postgres_url, tmp_path)
    world.api.create("/api/v1/namespaces", {"metadata": {"name": "outage"}})
    world.install_crds()
    try:
        seen = PodHistory(world)
        operator = world.operator()
        world.apply(CURVE.replace("0.3", "2"), maxTrialCount=4, parallelTrialCount=2)
        world.until("two run", lambda: len(world.running()) == 2)
        processes.stop(second, "kube-apiserver")
        back = time.monotonic() + SECONDS
        # Its trials end meanwhile, unseen.
        world.until("half a minute is over", lambda: time.monotonic() > back, SECONDS + 5)
        assert operator.poll() is None
        controlplane.start(second)
        # Kubernetes' own parts look for it again after up to a minute, and new Pods wait for them.
        assert world.ended(within=200)["trialsSucceeded"] == 4
        assert [(len(t.attempts), [s for s, _ in t.steps]) for t in world.trials()] == [(1, [1, 2, 3, 4, 5])] * 4
        assert len(seen.uids) == 4 and seen.once()
    finally:
        world.close()
