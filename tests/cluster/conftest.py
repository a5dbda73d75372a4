"""The cluster that these tests talk to: the one that a given kubeconfig points to, else the one of `make cluster`.

Where there is neither, the tests are skipped with the reason; with CI=true they fail, because there a skipped
test would be taken for a passed one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import room
from hack.cluster.base_image import REFERENCE
from hack.cluster.down import down
from hack.cluster.layout import Layout, find_layout
from hack.cluster.up import up
from kubernetes import client, config

if TYPE_CHECKING:
    from tests.cluster.operators import World


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster."""

    kubeconfig: Path
    image: str
    """A small image with Python that Pods can use."""
    ours: bool
    """Whether it is the one of `python -m hack.cluster`, with its fake GPUs."""

    @property
    def kubectl(self) -> str:
        """The program."""
        return find_layout().program("kubectl") if self.ours else "kubectl"

    def api(self) -> Any:
        """Return a client; its own types refuse the plain dictionaries that it accepts."""
        connect: Any = config.new_client_from_config
        return client.CoreV1Api(connect(str(self.kubeconfig)))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of KUBETUNA_TEST_KUBECONFIG, or the one that is up here."""
    given = os.environ.get("KUBETUNA_TEST_KUBECONFIG")
    if given:
        return Cluster(Path(given), os.environ.get("KUBETUNA_TEST_IMAGE", "python:3.11-slim"), ours=False)
    layout = find_layout()
    if room.holder_pid(layout) is None:
        _give_up("no cluster: run `python -m hack.cluster up`, or set KUBETUNA_TEST_KUBECONFIG")
    return Cluster(layout.kubeconfig, REFERENCE, ours=True)


def _give_up(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def second(cluster: Cluster, tmp_path: Path) -> Iterator[Layout]:
    """Another cluster, up: its daemons may be stopped and killed, which every other test needs."""
    if not cluster.ours:
        pytest.skip("the daemons of a given cluster cannot be stopped from here")
    layout = Layout(tmp_path / "second", find_layout().cache)
    try:
        up(layout)
        yield layout
    finally:
        down(layout)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, with its service account ready for Pods."""
    api, name = cluster.api(), f"test-{uuid.uuid4().hex[:8]}"
    api.create_namespace({"metadata": {"name": name}})
    yield name
    api.delete_namespace(name, body={"gracePeriodSeconds": 0})


@pytest.fixture
def world(cluster: Cluster, namespace: str, postgres_url: str, tmp_path: Path) -> Iterator[World]:
    """An empty namespace that enforces Pod Security, a database, and no operator yet."""
    from tests.cluster.operators import World

    made = World(cluster, namespace, postgres_url, tmp_path)
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    made.api.merge(f"/api/v1/namespaces/{namespace}", label)
    made.install_crds()
    yield made
    made.close()
