"""The two ways that the documentation names for a try: the command of `make cluster`, and kustomize."""

from __future__ import annotations

import pytest
from hack.cluster import volumes
from hack.cluster.base_image import REFERENCE
from hack.cluster.install import NAMESPACE, install, make_namespace
from hack.cluster.layout import Layout

from tests.chart.release import Space
from tests.cluster.conftest import Cluster

# The first one waits for a whole cluster, and for its images.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SCRIPT = "import os; print('loss=' + os.environ['KUBETUNA_PARAM_X'])"
ONES_OWN = "app.kubernetes.io/name=kubetuna,app.kubernetes.io/instance=kubetuna"
CLUSTER_WIDE = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"


@pytest.fixture
def team(fresh: Layout) -> Space:
    """A namespace of somebody else's than the operator's, on a cluster without one."""
    space = Space(Cluster(fresh.kubeconfig, REFERENCE, ours=True), "team")
    _clear(space)
    volumes.make(fresh, *volumes.DATABASE)
    make_namespace(fresh, "team")
    return space


def _clear(space: Space) -> None:
    """End what an earlier test has installed, after its experiments: they need an operator to go."""
    if NAMESPACE not in {obj["metadata"]["name"] for obj in space.get("namespaces")["items"]}:
        return
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
