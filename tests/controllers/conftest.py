"""The cluster of the other tests, with one more controller while a test needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hack.cluster.controllers import CONTROLLERS, Controller, install, remove
from hack.cluster.layout import find_layout

from tests.cluster.conftest import Cluster, cluster, namespace, world

__all__ = ["cluster", "namespace", "world"]


def standing(cluster: Cluster, name: str) -> Iterator[Controller]:
    """Installed while it is needed; of a given cluster what stands there is used."""
    controller = CONTROLLERS[name]
    if not cluster.ours:
        yield controller
        return
    install(find_layout(), controller)
    yield controller
    remove(find_layout(), controller)


@pytest.fixture(scope="session")
def jobset(cluster: Cluster) -> Iterator[Controller]:
    """JobSet's controller."""
    yield from standing(cluster, "jobset")


@pytest.fixture(scope="session")
def trainer(cluster: Cluster, jobset: Controller) -> Iterator[Controller]:
    """Kubeflow Trainer's, which makes JobSets."""
    yield from standing(cluster, "trainer")


@pytest.fixture(scope="session")
def kueue(cluster: Cluster) -> Iterator[Controller]:
    """Kueue, which asks to see every Pod that is made."""
    yield from standing(cluster, "kueue")
