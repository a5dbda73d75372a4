"""The two ways that the documentation names for a try: the command of `make cluster`, and kustomize."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster.base_image import REFERENCE
from cluster.install import NAMESPACE, install, make_namespace
from cluster.layout import Layout

from cluster import volumes
from tests.chart.release import Space
from tests.cluster.conftest import Cluster

pytestmark = pytest.mark.cluster

SCRIPT = "import os; print('loss=' + os.environ['KUBETUNA_PARAM_X'])"
ONES_OWN = "app.kubernetes.io/name=kubetuna,app.kubernetes.io/instance=kubetuna"
CLUSTER_WIDE = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"


@pytest.fixture
def team(fresh: Layout) -> Iterator[Space]:
    """A namespace of somebody else's than the operator's; afterwards no operator is left."""
    cluster = Cluster(fresh.kubeconfig, REFERENCE, ours=True)
    volumes.make(fresh, *volumes.DATABASE)
    make_namespace(fresh, "team")
    space = Space(cluster, "team")
    yield space
    space.kubectl("-n", "team", "delete", "experiments", "--all", "--timeout", "60s")
    space.kubectl("delete", "namespace", "team", NAMESPACE, "--timeout", "120s")
    space.kubectl("delete", CLUSTER_WIDE, "-l", ONES_OWN)


def test_make_cluster_installs_for_every_namespace(fresh: Layout, team: Space) -> None:
    install(fresh)
    install(fresh)
    team.run("mine", SCRIPT)
    assert team.ended("mine")["trialsSucceeded"] == 2


def test_kustomize_installs_for_every_namespace_with_passwords_of_its_own(team: Space) -> None:
    team.kubectl("apply", "-k", "manifests/overlays/kind")
    for workload in (
        "statefulset/kubetuna-postgres",
        "deployment/kubetuna-operator",
        "deployment/kubetuna-dashboard",
    ):
        team.kubectl("-n", NAMESPACE, "rollout", "status", workload, "--timeout", "180s")
    team.run("mine", SCRIPT)
    assert team.ended("mine")["trialsSucceeded"] == 2
    own = Space(team.cluster, NAMESPACE)
    secret = own.get("secret", "kubetuna-database")["data"]
    own.kubectl("apply", "-k", "manifests/overlays/kind")
    own.kubectl(
        "-n", NAMESPACE, "wait", "--for=condition=Complete", "job/kubetuna-secret-maker", "--timeout", "60s"
    )
    assert own.get("secret", "kubetuna-database")["data"] == secret
