"""The cluster of the other tests, with one more controller once a test needs it."""

from __future__ import annotations

import pytest
from hack.cluster.controllers import CONTROLLERS, Controller, install
from hack.cluster.layout import find_layout

from tests.cluster.conftest import Cluster, cluster, namespace, world

__all__ = ["cluster", "namespace", "world"]


def standing(cluster: Cluster, name: str) -> Controller:
    """Installed, to stay for as long as the cluster; of a given cluster what stands there is used."""
    controller = CONTROLLERS[name]
    if cluster.ours:
        install(find_layout(), controller)
    return controller


@pytest.fixture(scope="session")
def jobset(cluster: Cluster) -> Controller:
    """JobSet's controller."""
    return standing(cluster, "jobset")


@pytest.fixture(scope="session")
def trainer(cluster: Cluster, jobset: Controller) -> Controller:
    """Kubeflow Trainer's, which makes JobSets."""
    return standing(cluster, "trainer")


@pytest.fixture(scope="session")
def training_operator(cluster: Cluster) -> Controller:
    """Kubeflow's training operator, of PyTorchJobs and their like."""
    return standing(cluster, "training-operator")


@pytest.fixture(scope="session")
def kueue(cluster: Cluster) -> Controller:
    """Kueue, which asks to see every Pod that is made."""
    return standing(cluster, "kueue")
