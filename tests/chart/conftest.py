"""A cluster for releases: a fresh one, where an operator that watches every namespace meets no other test."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from hack.cluster import images, project_images, volumes
from hack.cluster.base_image import REFERENCE
from hack.cluster.down import down
from hack.cluster.install import IMAGES, make_namespace
from hack.cluster.layout import Layout, find_layout
from hack.cluster.up import up

from tests.chart.release import Release
from tests.cluster.conftest import Cluster, cluster  # noqa: F401


@pytest.fixture(scope="session")
def fresh(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:  # noqa: F811
    """A cluster with the project's images, gone afterwards."""
    if not cluster.ours:
        pytest.skip("needs a machine that a cluster can be brought up on")
    layout = Layout(tmp_path_factory.mktemp("chart") / "cluster", find_layout().cache)
    try:
        up(layout)
        for target in IMAGES:
            images.load_image(layout, project_images.build(layout, target))
        yield layout
    finally:
        down(layout)


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Release]:  # noqa: F811
    """The chart with its demo database, in a namespace that admits restricted Pods alone and that it watches.

    On the fresh cluster, or on the one of a given kubeconfig, whose nodes have the images (`make kind`).
    """
    name = f"test-{uuid.uuid4().hex[:8]}"
    if cluster.ours:
        layout: Layout = request.getfixturevalue("fresh")
        cluster = Cluster(layout.kubeconfig, REFERENCE, ours=True)
        make_namespace(layout, name)
        volumes.make(layout, name, "data-kubetuna-postgres-0")
    made = Release(cluster, name)
    if not cluster.ours:
        if not _stores(made):
            pytest.fail(
                "the given cluster has neither a default StorageClass nor a free PersistentVolume for a database"
            )
        made.kubectl("create", "namespace", name)
        made.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    made.install()
    yield made
    made.remove()


def _stores(release: Release) -> bool:
    """Whether a claim of the demo database would be met."""
    classes = json.loads(release.kubectl("get", "storageclass", "-o", "json"))["items"]
    volumes_free = json.loads(release.kubectl("get", "pv", "-o", "json"))["items"]
    usual = "storageclass.kubernetes.io/is-default-class"
    return any((c["metadata"].get("annotations") or {}).get(usual) == "true" for c in classes) or any(
        v["status"].get("phase") == "Available" and "claimRef" not in v["spec"] for v in volumes_free
    )
